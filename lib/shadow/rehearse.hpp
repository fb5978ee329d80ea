// SPDX-License-Identifier: Apache-2.0
#pragma once
// A rehearsal: the newest point that has memory is resumed on the shadow's host under a throwaway layer, network cables
// out, watched, and thrown away. The point is not touched, the primary goes on undisturbed.

#include <optional>
#include <string>

#include "model/activity.hpp"
#include "ports/context.hpp"

namespace umbra::shadow {

struct RehearseRequest {
  model::VmName vm;
  model::HostName host;  ///< the shadow's
  model::ShadowId shadow;
  base::Seconds watch{10};
};

/// What was seen.
struct Rehearsal {
  model::PointNumber point;
  base::Instant taken_at;
  double resumed_in_s = 0;
  double watched_s = 0;
  unsigned looks = 0;          ///< at the domain
  unsigned looks_running = 0;  ///< of them
  unsigned agent_answers = 0;
  std::optional<double> uptime_first_s;  ///< by the guest's own clock; absent where the agent can't tell
  std::optional<double> uptime_last_s;
  std::optional<model::ActivityDiff> processes;  ///< against the activity recorded with the point, where both are known
  /// Running at every look, and its uptime advanced where it is known.
  bool passed() const;
};

/// Ends the stand-in that a rehearsal which was killed left running, cables out; false where there is none. The caller
/// holds the VM's lease.
bool end_left_rehearsal(ports::Hypervisor& host, const model::VmName& vm);

/// Kind::refused where no point has memory, or the shadow is not off. Whatever happens, the stand-in and its layer are
/// gone at the end; where that fails, the error says so.
Rehearsal rehearse(const ports::Context& context, const RehearseRequest& request);
/// The point that rehearse() would resume; refuses where it would. Changes nothing.
model::PointInfo plan_rehearsal(const ports::Context& context, const RehearseRequest& request);

}  // namespace umbra::shadow
