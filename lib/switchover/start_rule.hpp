// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a domain that bears Umbra's tag may be started on a host: the rule that libvirt's hook asks. Pure.

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/domain.hpp"

namespace umbra::switchover {

/// What one other host says of the VM of that uuid.
struct Elsewhere {
  model::HostName host;
  std::optional<model::Domain> domain;
  std::string silence;  ///< why it gave no answer; empty where it did
};

/// Why `starting`, defined on a host as its tag says, may not run there now; nothing where it may. A domain without a
/// tag is none of Umbra's, and the stand-in of a rehearsal is no second VM. The others matter to a primary alone: it
/// must not be started where one of them bears a newer epoch or is up, unless it comes from there by a walk, nor where
/// the host of its shadow gives no answer: the shadow may have been activated. Where nothing of it is left there, none
/// of the others may be silent: the VM may have gone on from there.
std::optional<base::Error> objection_to_start(const model::Domain& starting, const std::vector<Elsewhere>& others);

}  // namespace umbra::switchover
