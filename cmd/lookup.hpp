// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a verb asks about a VM: where it is, whose it is for now, and what the record or the store knows of it.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/domain.hpp"
#include "model/record.hpp"
#include "ports/hypervisor.hpp"
#include "ports/store.hpp"

namespace umbra::cmd {

class Session;

/// A VM where it runs, or where it is defined as anything but a shadow.
struct Located {
  model::Domain domain;
  model::HostName host;
};

/// Throws what the host said when it did not answer earlier in this run.
void check_answers(Session& session, const model::HostName& host);
/// The domains of a host, without stand-ins of rehearsals. A host that does not answer is asked once in a run.
std::vector<model::Domain> domains_on(Session& session, const model::HostName& host);

/// What an open walk is to others: Kind::busy while its run lives, else Kind::interrupted with the way out.
base::Error open_walk_error(Session& session, const ports::Walk& walk);

/// The VM is this run's alone until the lease is gone; Kind::busy where it is another's after `wait`, Kind::interrupted
/// where a walk of it is open: only `switchover --recover` may touch it then. In a dry run the checks alone, and no
/// lease.
std::unique_ptr<ports::Lease> take_lease(Session& session, const model::VmName& vm,
                                         base::Millis wait = base::Millis{0});

/// Looks on every host. Kind::not_found with the nearest name; Kind::unreachable where a host that does not answer
/// could be its place; Kind::refused where it runs on two.
Located locate(Session& session, const model::VmName& vm);

/// Every running VM; hosts that do not answer are added to `unreachable`.
std::vector<Located> running_vms(Session& session, std::vector<base::Error>& unreachable);
/// Every VM with a shadow in the store that runs, or that is off where the store says that it ran.
std::vector<Located> shadowed_vms(Session& session, std::vector<base::Error>& unreachable);

model::Record record_of(Session& session, const Located& located);

/// Whether VMs are known from the history alone: their samples come from records, and no host is configured.
bool names_come_from_history(Session& session);
/// Every VM that the history has seen in the last hours of what it knows. Kind::not_found where there is none.
std::vector<model::Vm> vms_in_history(Session& session);
/// Kind::not_found with the nearest name.
model::Vm find_in_history(Session& session, const model::VmName& vm);

/// The row of the VM's shadow, where it has one; Kind::refused where it is of another VM of that name.
std::optional<ports::ShadowRow> shadow_row_of(Session& session, const model::Vm& vm);

/// A section of the record, else the newest in the store; Kind::not_found telling the verb that makes it.
model::Forecast need_forecast(Session& session, const model::Record& record);
model::Placement need_placement(Session& session, const model::Record& record);
model::ShadowSection need_shadow(Session& session, const model::Record& record);
/// In a dry run: whether the record's shadow is only what `shadow --dry-run` up the pipe would make.
bool only_planned(Session& session, const model::Record& record);
inline constexpr const char* shadow_is_planned = "its shadow is only planned";
/// The VM's domain on its host; Kind::not_found where it is not there.
model::Domain primary_of(Session& session, const model::Vm& vm);
std::optional<model::Replica> find_replica(Session& session, const model::Record& record);
std::optional<model::StateSection> find_state(Session& session, const model::Record& record);
std::optional<model::Forecast> find_forecast(Session& session, const model::Record& record);
std::optional<model::Placement> find_placement(Session& session, const model::Record& record);
std::optional<model::Decision> find_decision(Session& session, const model::Record& record);

/// A replica as the store has it, with its lag as of now.
model::Replica replica_by_now(Session& session, model::Replica replica);

/// Keeps a section of the record in the store, for verbs that are run alone later; nothing in a dry run.
void remember(Session& session, const model::Record& record, const char* section);
void remember(Session& session, std::span<const model::Record* const> records, const char* section);

}  // namespace umbra::cmd
