// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the processes that `sync` recorded go on after the walk.

#include <optional>
#include <string>

#include "switchover/switchover.hpp"

namespace umbra::switchover {

/// Compares what runs in the guest on `request.to` with the newest activity recorded with a point of its shadow: a
/// sentence for the outcome. Nothing where none was recorded or no agent answers; a failure to look is told in the
/// sentence, and does no harm.
std::optional<std::string> compare_processes(const Ports& ports, const Request& request);

}  // namespace umbra::switchover
