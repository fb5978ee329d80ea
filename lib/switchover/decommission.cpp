// SPDX-License-Identifier: Apache-2.0
// Removing an old primary for good. It is also the only way back, so it waits for the rollback window.
#include <fmt/core.h>

#include <set>

#include "base/text.hpp"
#include "switchover/preconditions.hpp"

namespace umbra::switchover {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;
using model::Role;

void check_may_go(const DecommissionRequest& request, const model::Domain& old) {
  if (old.state != DomainState::off) {
    throw Error(Kind::refused,
                fmt::format("{} is {} on {}", request.vm.get(), to_string(old.state), request.host.get()),
                "only a hibernated primary is decommissioned");
  }
  if (old.tag.role != Role::hibernated) {
    throw Error(Kind::refused,
                fmt::format("{} on {} is no hibernated primary: its role is {}", request.vm.get(), request.host.get(),
                            to_string(old.tag.role)),
                fmt::format("umbra status {}", base::shell_word(request.vm)));
  }
}

/// The VM must be seen running where the registry says: its last copy is never removed.
void check_runs_elsewhere(const Ports& ports, const DecommissionRequest& request, const ports::ShadowRow& row) {
  if (row.host != request.host || row.id != request.shadow || row.primary_host == request.host) {
    throw Error(Kind::refused,
                fmt::format("{}'s old primary is shadow {} on {}, not {} on {}", request.vm.get(), row.id.get(),
                            row.host.get(), request.shadow.get(), request.host.get()),
                fmt::format("umbra status {}", base::shell_word(request.vm)));
  }
  const auto runs = ports.hypervisors.at(row.primary_host).find(request.vm);
  if (runs && runs->state == DomainState::running) return;
  throw Error(
      Kind::refused,
      fmt::format("{} does not run on {}: its copy on {} is kept", request.vm.get(), row.primary_host.get(),
                  request.host.get()),
      fmt::format("start it on {}, or see: umbra status {}", row.primary_host.get(), base::shell_word(request.vm)));
}

void check_window(const Ports& ports, const DecommissionRequest& request, const model::Uuid& uuid) {
  if (request.force) return;
  for (const ports::Walk& walk : ports.journal.walks(uuid)) {
    if (walk.state != "done") continue;
    const base::Seconds age = since_end_of(ports, walk);
    if (age >= request.rollback_window) return;
    const std::string ago =
        age.count() < 0 ? "later than it is now (the clock was set back)" : base::to_human(age) + " ago";
    throw Error(Kind::refused,
                fmt::format("{} left {} {}; until {} have passed it can be rolled back", request.vm.get(),
                            request.host.get(), ago, base::to_human(request.rollback_window)),
                fmt::format("wait, or give up the way back: umbra switchover {} --decommission --force",
                            base::shell_word(request.vm)));
  }
  throw Error(
      Kind::refused,
      fmt::format("no finished switchover of {} is known: when it left {} can't be told", request.vm.get(),
                  request.host.get()),
      fmt::format("where you are sure: umbra switchover {} --decommission --force", base::shell_word(request.vm)));
}

/// Every check; the registry's row where there is one. Nothing defined and no row: there is nothing left to do.
std::optional<ports::ShadowRow> checked(const Ports& ports, const DecommissionRequest& request) {
  check_no_open_walk(ports, request.vm);
  const auto old = ports.hypervisors.at(request.host).find(request.vm);
  if (old) check_may_go(request, *old);
  auto row = ports.registry.find(request.vm);
  if (row) {
    check_runs_elsewhere(ports, request, *row);
    check_window(ports, request, row->vm_uuid);
  } else if (old) {
    throw Error(Kind::refused,
                fmt::format("{} on {} is in no registry: nothing tells where it runs now", request.vm.get(),
                            request.host.get()),
                fmt::format("umbra status {}", base::shell_word(request.vm)));
  }
  return row;
}

/// Files of the old primary's disks, each with all that it stands on. What can't be read is passed by: this is for a
/// note alone.
std::set<std::string> files_of(ports::PointStore& store, const std::optional<model::Domain>& old) {
  std::set<std::string> files;
  if (!old) return files;
  for (const model::Disk& disk : old->disks) {
    try {
      for (std::string& file : store.chain(disk.path)) files.insert(std::move(file));
    } catch (const Error&) {
    }
  }
  return files;
}

bool is_gone(ports::PointStore& store, const std::string& file) {
  try {
    store.chain(file);
    return false;
  } catch (const Error& e) {
    return e.kind() == Kind::not_found;
  }
}

/// What other VMs may stand on as well was not Umbra's to remove.
std::string what_went(ports::PointStore& store, const model::HostName& host, std::set<std::string> files) {
  std::erase_if(files, [&](const std::string& file) { return is_gone(store, file); });
  std::string text = fmt::format("the old primary on {} is gone, with its disks", host.get());
  if (files.empty()) return text;
  text += "; what they stood on is left, since others may stand on it too:";
  for (const std::string& file : files) text += " " + base::shell_word(file);
  return text;
}

}  // namespace

bool is_decommission_due(const Ports& ports, const DecommissionRequest& request) {
  const auto row = ports.registry.find(request.vm);
  const auto old = ports.hypervisors.at(request.host).find(request.vm);
  if (!row || !old || old->tag.role != Role::hibernated) return false;
  for (const ports::Walk& walk : ports.journal.walks(row->vm_uuid)) {
    if (walk.state == "done") return since_end_of(ports, walk) >= request.rollback_window;
  }
  return false;
}

void check_decommission(const Ports& ports, const DecommissionRequest& request) {
  checked(ports, request);
}

model::Outcome decommission(const Ports& ports, const DecommissionRequest& request) {
  const auto lease = ports.leases.acquire(request.vm, base::Millis{0});
  const auto row = checked(ports, request);
  model::Outcome outcome;
  outcome.result = "decommissioned";
  outcome.primary = "decommissioned";
  if (!row) return outcome;
  const auto store = ports.transport.connect(request.host);
  ports::Hypervisor& host = ports.hypervisors.at(request.host);
  const std::set<std::string> files = files_of(*store, host.find(request.vm));
  // From here on there is no way back to this host. The row goes last: with it, this can be run again.
  host.undefine(request.vm);
  store->drop_with_adopted(request.shadow);
  outcome.notes.push_back(what_went(*store, request.host, files));
  ports.registry.remove(row->vm_uuid);
  outcome.host = row->primary_host;
  outcome.epoch = ports.journal.epoch(row->vm_uuid);
  return outcome;
}

}  // namespace umbra::switchover
