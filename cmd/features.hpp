// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a run's session to what features ask for.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cmd/session.hpp"
#include "model/record.hpp"
#include "ports/context.hpp"

namespace umbra::cmd {

/// The ports of this run; progress goes where the user asked for it.
ports::Context context_of(Session& session);

/// The ready-made shadow on `target` that fits the VM; nothing where the pool has none.
std::optional<ports::PoolRow> pooled_for(Session& session, const model::Domain& domain, const model::HostName& target);

/// What the blackout was estimated at when the VM was decided on: in the record, else the newest on file.
std::optional<double> decided_blackout_ms(Session& session, const model::Record& record);

/// Takes away what a run that was killed left: overlays and the memory image of a sync, a backup job, the stand-in of a
/// rehearsal. The caller holds the VM's lease.
void clear_leftovers(Session& session, const model::Vm& vm);

/// What went less well without harm, one message each.
void say_notes(const std::string& verb, const model::VmName& vm, const std::vector<std::string>& notes);

/// Brings the registry's row of a VM up to date after a pass or a sync. Nothing in a dry run.
void update_row(Session& session, const model::VmName& vm, const std::function<void(ports::ShadowRow&)>& change);

}  // namespace umbra::cmd
