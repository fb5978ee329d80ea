// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "ports/roles.hpp"
#include "shadow/rehearse.hpp"
#include "shadow/shadow.hpp"

namespace umbra::shadow {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;
using model::Role;

/// Refuses to take away what is, or may be, in use.
void check_droppable(const std::optional<model::Domain>& stand_in, const ports::ShadowRow& row) {
  if (!stand_in) return;  // an earlier drop got that far
  const std::string what = fmt::format("{} on {}", row.vm.get(), row.host.get());
  if (stand_in->state != DomainState::off)
    throw Error(
        Kind::refused,
        fmt::format("{} is {}: an active shadow is not dropped", what, model::to_string(stand_in->state)),
        fmt::format("switch over first, or roll back: umbra switchover --rollback {}", base::shell_word(row.vm)));
  if (stand_in->tag.role == Role::hibernated)
    throw Error(Kind::refused, fmt::format("{} is a hibernated primary, whose own disks are the shadow", what),
                fmt::format("umbra switchover --decommission {}", base::shell_word(row.vm)));
  if (stand_in->tag.role != Role::shadow)
    throw Error(Kind::refused, fmt::format("{} is defined there, but not as a shadow", what),
                "umbra status shows what stands where");
}

/// Nothing where the host gives no answer.
std::optional<model::Domain> seen_on(const Context& context, const model::HostName& host, const model::VmName& vm) {
  try {
    return context.hypervisors.at(host).find(vm);
  } catch (const Error& e) {
    if (e.kind() != Kind::unreachable && e.kind() != Kind::not_found) throw;
    return std::nullopt;
  }
}

/// A walk that this store does not know has its lease and journal elsewhere, and may be under way.
void check_not_leaving(const Context& context, const ports::ShadowRow& row) {
  const auto domain = seen_on(context, row.primary_host, row.vm);
  if (domain && domain->uuid == row.vm_uuid && domain->tag.role == Role::leaving)
    ports::require_primary(context.hypervisors.at(row.primary_host), *domain);
}

/// Checkpoints and the tag, whose epoch stays. Where they can't be removed now, nothing depends on it: no other
/// point names them, and the next pass deletes them.
void release_primary(const Context& context, const ports::ShadowRow& row, std::vector<std::string>& notes) {
  try {
    ports::Hypervisor& primary = context.hypervisors.at(row.primary_host);
    const auto domain = primary.find(row.vm);
    if (!domain || domain->uuid != row.vm_uuid) return;
    const bool of_it = domain->tag.role == Role::primary || domain->tag.role == Role::leaving;
    if (of_it && domain->tag.peer == row.host) primary.set_tag(row.vm, {Role::none, {}, domain->tag.epoch});
    ports::clear_stale_job(primary, *domain);
    for (const model::CheckpointName& checkpoint : primary.checkpoints(row.vm)) {
      if (ports::point_of(checkpoint)) primary.delete_checkpoint(row.vm, checkpoint);
    }
  } catch (const Error& e) {
    notes.push_back(
        fmt::format("checkpoints of {} stay on {} for now: {}", row.vm.get(), row.primary_host.get(), e.what()));
  }
}

/// What stands on the shadow's host: definition and folder.
void take_away(const Context& context, const ports::ShadowRow& row, DropResult& result) {
  ports::Hypervisor& host = context.hypervisors.at(row.host);
  end_left_rehearsal(host, row.vm);
  auto stand_in = host.find(row.vm);
  if (stand_in && stand_in->uuid != row.vm_uuid) {
    result.notes.push_back(fmt::format("{} on {} is another VM than the one whose shadow is dropped: it is left alone",
                                       row.vm.get(), row.host.get()));
    stand_in.reset();
  }
  check_droppable(stand_in, row);
  release_primary(context, row, result.notes);
  if (stand_in) host.undefine(row.vm);
  context.transport.connect(row.host)->drop(row.id);
}

/// The same where the host may be gone for good: one that gives no answer, or is no longer configured, keeps what it
/// has.
void take_away_or_forget(const Context& context, const ports::ShadowRow& row, bool forget, DropResult& result) {
  try {
    take_away(context, row, result);
  } catch (Error& e) {
    if (e.kind() != Kind::unreachable && e.kind() != Kind::not_found) throw;
    if (!forget) {
      const std::string other = e.hint().empty() ? "" : e.hint() + "; ";
      e.set_hint(fmt::format("{}where {} is gone for good: umbra shadow {} --drop --forget", other, row.host.get(),
                             base::shell_word(row.vm)));
      throw;
    }
    release_primary(context, row, result.notes);
    result.notes.push_back(
        fmt::format("{} is forgotten; its definition and folder {} stay on {}, should it come back: {}", row.vm.get(),
                    row.id.get(), row.host.get(), e.message()));
  }
}

/// What a host says of the VM.
struct Copy {
  ports::Hypervisor* host;
  model::Domain domain;
};

/// Kind::refused where one of the others is up, or newer: then this one is no more than an old copy.
void check_is_the_one(const Copy& one, const std::vector<Copy>& all) {
  for (const Copy& other : all) {
    if (other.host == one.host || other.domain.uuid != one.domain.uuid || model::is_rehearsal(other.domain)) continue;
    if (other.domain.state == DomainState::off && other.domain.tag.epoch <= one.domain.tag.epoch) continue;
    throw Error(Kind::refused,
                fmt::format("{} is {} on {}, with epoch {}: the one on {}, of epoch {}, may be an old copy",
                            one.domain.name.get(), model::to_string(other.domain.state), other.host->host().get(),
                            other.domain.tag.epoch.value, one.host->host().get(), one.domain.tag.epoch.value),
                fmt::format("umbra status {}", base::shell_word(one.domain.name)));
  }
}

/// A VM whose tag tells of a shadow, or of a walk, that no store knows any more: its host is released from both. Its
/// epoch stays. Nothing where there is no such VM.
std::optional<std::string> release_unknown(const Context& context, const model::VmName& vm) {
  std::vector<Copy> all;
  for (const model::HostName& name : context.hypervisors.names()) {
    try {
      ports::Hypervisor& host = context.hypervisors.at(name);
      if (const auto domain = host.find(vm)) all.push_back({&host, *domain});
    } catch (const Error& e) {
      if (e.kind() != Kind::unreachable) throw;  // it is the operator who is sure of the others
    }
  }
  const auto bound = std::ranges::find_if(all, [](const Copy& copy) {
    return copy.domain.tag.role == Role::leaving || copy.domain.tag.role == Role::primary;
  });
  if (bound == all.end()) return std::nullopt;
  check_is_the_one(*bound, all);
  bound->host->set_tag(vm, {Role::none, {}, bound->domain.tag.epoch});
  return fmt::format("{} on {} is bound to {} no more; its epoch is {} as before", vm.get(), bound->host->host().get(),
                     bound->domain.tag.peer.get(), bound->domain.tag.epoch.value);
}

}  // namespace

void check_drop(const Context& context, const ports::ShadowRow& row, bool forget) {
  if (!forget) check_not_leaving(context, row);
  const auto stand_in = seen_on(context, row.host, row.vm);
  if (stand_in && stand_in->uuid == row.vm_uuid && !model::is_rehearsal(*stand_in)) check_droppable(stand_in, row);
}

DropResult drop(const Context& context, const Registries& registries, const DropRequest& request) {
  const model::VmName& vm = request.vm;
  const auto row = registries.shadows.find(vm);
  if (!row && request.forget) {
    if (const auto note = release_unknown(context, vm)) return {{*note}};
  }
  if (!row)
    throw Error(Kind::not_found, fmt::format("{} has no shadow", vm.get()),
                fmt::format("umbra status shows those that are known; umbra shadow {} --on HOST finds one that was "
                            "forgotten there",
                            base::shell_word(vm)));
  if (!request.forget) check_not_leaving(context, *row);
  DropResult result;
  take_away_or_forget(context, *row, request.forget, result);
  registries.shadows.remove(row->vm_uuid);  // last: a drop that failed before is begun again from the row
  return result;
}

}  // namespace umbra::shadow
