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

// What the walks share. Each throws what is in the way, with what to do.
std::optional<model::Domain> check_target(const Ports& ports, const Request& request, const model::Uuid& uuid);
ports::ShadowRow check_shadow(const Ports& ports, const Request& request, const model::Uuid& uuid);
void check_target_can_hold(const Ports& ports, const Request& request, const model::Domain& guest);
model::PointInfo newest_point(const Request& request, ports::PointStore& store);
/// Above every number that the store, either domain or an earlier walk has named for the VM.
model::Epoch next_epoch(const Ports& ports, const Survey& seen);

/// Throws Kind::interrupted where a walk of the VM is open.
void check_no_open_walk(const Ports& ports, const model::VmName& vm);

/// Changes nothing. Throws what is in the way, each with what to do: Kind::refused, busy, not_found, unsupported,
/// interrupted (an open walk). `kind` is "switchover" or "rollback".
Survey survey(const Ports& ports, const Request& request, const std::string& kind);
/// Looks at the files of the shadow's points, not at their descriptions alone, and marks what is damaged. Kind::refused
/// where the newest is.
void require_sound_files(const Ports& ports, const Request& request);

/// How long ago a walk ended. Negative where the clock was set back since.
base::Seconds since_end_of(const Ports& ports, const ports::Walk& walk);

}  // namespace umbra::switchover
