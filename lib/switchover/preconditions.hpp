// SPDX-License-Identifier: Apache-2.0
#pragma once
// Everything that must hold before a walk may change anything, looked at in one place.

#include <optional>

#include "model/domain.hpp"
#include "model/points.hpp"
#include "switchover/switchover.hpp"

namespace umbra::switchover {

/// What the checks saw, for the walk to go on with.
struct Survey {
  model::Domain source;
  std::optional<model::Domain> target;  ///< absent where nothing of that name is defined there
  ports::ShadowRow shadow;
  model::PointInfo newest;
  model::Epoch proposed;  ///< above every number that was ever named for this VM
};

/// Throws Kind::interrupted where a walk of the VM is open.
void check_no_open_walk(const Ports& ports, const model::VmName& vm);

/// Changes nothing. Throws what is in the way, each with what to do: Kind::refused, busy, not_found, unsupported,
/// no_space, interrupted (an open walk). `kind` is "switchover" or "rollback".
Survey survey(const Ports& ports, const Request& request, const std::string& kind);

}  // namespace umbra::switchover
