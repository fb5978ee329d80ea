// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the switchover's ways have in common: the hooks of a VM, the table, what an outcome does to the record.

#include <memory>
#include <optional>
#include <vector>

#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "switchover/switchover.hpp"

namespace umbra::cmd {

const RecordTable& switchover_table();

/// The hooks and the probe of one VM, alive as long as its walk.
struct Hooks {
  std::vector<std::unique_ptr<ports::Redirector>> redirectors;
  std::unique_ptr<ports::Probe> probe;
  std::unique_ptr<ports::Fence> fence;

  Hooks(Session& session, const model::VmName& vm, const model::VmPolicy& policy);
  switchover::Ports ports(Session& session) const;
};

/// Sets the outcome and what follows from it in the other sections, and keeps it in the history; that it can't be kept
/// is a note: what was done is done.
void conclude(Session& session, model::Record& record, model::Outcome outcome);

/// Of a walk that was taken back by its probe: the VM is safe where it was, yet it is not where it was to go, and who
/// asked from a script must hear of it.
std::optional<base::Error> failure_of_probe(const model::Record& record);

struct RecoverOptions {
  std::string forget;        ///< a host that is gone for good; empty: none
  bool accept_risk = false;  ///< forgets it without a fence
};

/// Finishes or takes back every open walk, or those of the VMs named; each with its own hooks.
int recover_walks(Session& session, const RecoverOptions& options);

}  // namespace umbra::cmd
