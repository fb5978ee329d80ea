// SPDX-License-Identifier: Apache-2.0
#pragma once
// How every verb goes over its VMs: operands or records in, records out, errors that travel, one exit status.

#include <functional>
#include <string>
#include <vector>

#include "cmd/output/output.hpp"
#include "model/domain.hpp"
#include "model/record.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::cmd {

class Session;

/// What one VM of a run needs done. It reads what it needs from the record, sets its own section, or throws.
using Act = std::function<void(model::Record&)>;

/// Runs `act` for each VM that the operands name and prints the records. A record that already failed is passed by, as is
/// one whose forecast says that nothing is to be done; the latter only where `act_on_untriggered` is false and the
/// record came down a pipe.
int for_each_vm(Session& session, const std::string& verb, const RecordTable& table, const Act& act,
                bool act_on_untriggered = false);

/// A VM where it runs, or where it is defined as anything but a shadow.
struct Located {
  model::Domain domain;
  model::HostName host;
};

/// Looks on every host. Kind::not_found with the nearest name; Kind::unreachable where a host that does not answer
/// could be its place; Kind::refused where it runs on two.
Located locate(Session& session, const model::VmName& vm);

/// Every running VM; hosts that do not answer are added to `unreachable`.
std::vector<Located> running_vms(Session& session, std::vector<base::Error>& unreachable);

model::Record record_of(Session& session, const Located& located);

/// A section of the record, else the newest in the store; Kind::not_found telling the verb that makes it.
model::Forecast need_forecast(Session& session, const model::Record& record);
model::Placement need_placement(Session& session, const model::Record& record);
model::ShadowSection need_shadow(Session& session, const model::Record& record);
std::optional<model::Replica> find_replica(Session& session, const model::Record& record);
std::optional<model::StateSection> find_state(Session& session, const model::Record& record);
std::optional<model::Forecast> find_forecast(Session& session, const model::Record& record);
std::optional<model::Placement> find_placement(Session& session, const model::Record& record);
std::optional<model::Decision> find_decision(Session& session, const model::Record& record);

/// Keeps a section of the record in the store, for verbs that are run alone later; nothing in a dry run.
void remember(Session& session, const model::Record& record, const char* section);

/// Prints an error as a chain on standard error: what happened, then what to type next.
void print_error(const base::Error& error, const std::string& verb, const std::string& subject);

}  // namespace umbra::cmd
