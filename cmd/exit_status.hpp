// SPDX-License-Identifier: Apache-2.0
#pragma once
// The exit statuses, in one place: which kind of error ends a run how.

#include <vector>

#include "base/error.hpp"

namespace umbra::cmd {

enum ExitStatus : int {
  exit_done = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_some_failed = 3,
  exit_refused = 4,
  exit_needs_recovery = 5,
  exit_locked = 6,
  exit_stay = 10,
};

/// The status of a run that ended with one error of this kind.
int status_of(base::Kind kind);

/// The status of a run over several VMs: `failures` are those that failed, `done` counts the others.
int status_of(const std::vector<base::Kind>& failures, std::size_t done);

}  // namespace umbra::cmd
