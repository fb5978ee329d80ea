// SPDX-License-Identifier: Apache-2.0
#pragma once
// The live walk that moves a running guest onto its shadow, and the same walk back. Written against ports alone; the
// final delta comes from replicate. The steps, in order, are in walk.cpp; what is written down and why it is enough
// after a crash is in JOURNAL.md. Invariants: never two running; before the move has happened everything is taken
// back, after it everything is finished; a state that cannot be proved is refused, with the journal left open.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "model/config.hpp"
#include "model/ids.hpp"
#include "model/sections.hpp"
#include "model/units.hpp"
#include "ports/hypervisor.hpp"
#include "ports/store.hpp"
#include "ports/switching.hpp"
#include "ports/transport.hpp"

namespace umbra::switchover {

/// Where the walk's side effects happen. All must outlive the call.
struct Ports {
  ports::Hypervisors& hypervisors;
  ports::Transport& transport;
  ports::Journal& journal;
  ports::ShadowRegistry& registry;
  ports::Leases& leases;
  base::Clock& clock;
  base::CancelToken& cancel;
  std::vector<ports::Redirector*> redirectors;  ///< those of the VM, in the order in which they are called
  ports::Probe* probe = nullptr;                ///< none: the move alone counts as success
  ports::Fence* fence = nullptr;                ///< none is configured
};

/// One end of a walk.
struct Side {
  model::HostName host;
  std::string peer_uri;                         ///< its libvirt, as the other side's host reaches it
  std::map<std::string, std::string> networks;  ///< the others' network -> this host's; others keep their name
};

/// What holds of a host's configuration for a walk.
Side side_of(const model::HostConfig& host);

struct Request {
  model::VmName vm;
  Side from;  ///< where it runs now
  Side to;    ///< where its shadow stands
  model::ShadowId shadow;
  model::VmPolicy policy;
  model::ByteRate rate = model::usual_link;  ///< about what the delta and the migration get between the two hosts
  std::string record;                        ///< the JSON line that hooks and the probe get on standard input
  bool accept_split_brain_risk = false;      ///< from_point() alone: goes on without a fence
};

/// What a walk takes: estimated before, measured after.
struct Cost {
  double blackout_ms = 0;
  double brownout_ms = 0;  ///< the guest runs, slowed by the copying of its memory and of what it writes
  model::ByteCount bytes;  ///< on the wire: delta, memory, what is written meanwhile
};

/// What a walk would do and about what it would cost; nothing was changed to learn it.
struct Plan {
  model::Epoch epoch;
  model::PointNumber newest;  ///< of the shadow, before the final delta
  Cost cost;
  Cost modelled;                   ///< the same before earlier walks corrected it
  double seconds = 0;              ///< about, from start to running on the shadow
  std::vector<std::string> notes;  ///< what the estimates stand on
  /// As it would be recorded: result "planned", the steps as phases of 0 ms.
  model::Outcome as_outcome(const model::HostName& running_on) const;
};

/// Makes the checks of switch_over() (or, with "rollback", of roll_back()) and estimates; throws where the walk would
/// be refused. One check is the walk's alone, since it marks what it finds: whether the files of the shadow's points
/// are as they were written; here they are taken at the word of their descriptions.
Plan plan(const Ports& ports, const Request& request, const std::string& kind = "switchover");

/// Moves the VM onto its shadow. Kind::refused also where the estimate breaks a limit of the policy. Outcome
/// "switched", or "rolled_back" where the probe failed and the policy says so. Throws Kind::refused, busy, not_found,
/// unsupported or interrupted where nothing was changed; any other kind where the walk failed and was taken back;
/// Kind::interrupted too where only recover() can go on.
model::Outcome switch_over(const Ports& ports, const Request& request);

/// The same walk the other way: `request.to` is where the VM ran before the last walk. Redirectors are called to undo.
/// Kind::refused where there was no such walk or its reverse shadow is gone. Outcome "rolled_back".
model::Outcome roll_back(const Ports& ports, const Request& request);

/// Activates the newest sound point of a VM whose host, `request.from`, gives no answer: fences that host, puts a layer
/// over the point, starts the shadow with the newest epoch, from the point's memory where it has some. Outcome
/// "activated" with `lost_s`. Kind::refused where the host answers, where there is no fence and the risk was not
/// accepted, and where the fence gives no proof.
model::Outcome from_point(const Ports& ports, const Request& request);
/// Every check of from_point(), and what would be lost by now; nothing is changed.
model::Outcome plan_from_point(const Ports& ports, const Request& request);

/// One interrupted walk and what became of it.
struct Recovered {
  model::VmName vm;
  model::Uuid uuid;
  std::string found;  ///< the step that was under way, and whether it had happened
  std::string did;    ///< what was finished or taken back
  model::Outcome outcome;
};

/// Finishes or takes back every open walk, or that of one VM alone. Asks both hosts; Kind::interrupted where the truth
/// cannot be proved (the walk stays open), Kind::busy where another run is on it. Again: nothing is left to do, nothing
/// is said. Redirectors and probe are called for each walk: where VMs have their own, call once per VM of open_walks().
std::vector<Recovered> recover(const Ports& ports, const std::optional<model::VmName>& only = std::nullopt);

struct ForgetRequest {
  model::VmName vm;
  model::HostName host;                  ///< gone for good
  bool accept_split_brain_risk = false;  ///< goes on without a fence
};

/// Ends the open walk of a VM of which one host is gone for good, once that host is fenced. Source gone, guest moved:
/// it goes on on the target. Target gone: it goes on on the source, from what is there. The VM has no shadow then. Where
/// the source was reversed already, that is the shadow, and from_point()'s.
/// Kind::refused where the host answers, where there is no fence and the risk was not accepted, where the fence gives
/// no proof, and where the source is gone before the guest had moved: that is from_point()'s. No walk: nothing is said.
std::vector<Recovered> recover_without(const Ports& ports, const ForgetRequest& request);
/// The checks alone.
void check_forget(const Ports& ports, const ForgetRequest& request);

struct DecommissionRequest {
  model::VmName vm;
  model::HostName host;  ///< where the old primary is
  model::ShadowId shadow;
  base::Seconds rollback_window{3600};
  bool force = false;  ///< also within the rollback window
};

/// Removes the old primary's definition and storage: no roll-back after that. Kind::refused within the rollback window,
/// while a walk is open, or where anything runs there. Again: nothing is left to do. The outcome's `primary` is
/// "decommissioned".
model::Outcome decommission(const Ports& ports, const DecommissionRequest& request);
/// Whether there is an old primary whose rollback window is over.
bool is_decommission_due(const Ports& ports, const DecommissionRequest& request);
/// The checks alone; throws where decommission() would refuse.
void check_decommission(const Ports& ports, const DecommissionRequest& request);

}  // namespace umbra::switchover
