// SPDX-License-Identifier: Apache-2.0
#include "shadow/shadow.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "ports/roles.hpp"
#include "shadow/undo.hpp"

namespace umbra::shadow {
namespace {

using base::Error;
using base::Kind;
using model::Domain;
using model::DomainState;
using model::Role;

/// What ensure() finds before it changes anything.
struct Start {
  Domain primary;
  std::optional<Domain> stand_in;  ///< the domain of that name on the shadow's host
  model::HostName host;            ///< where the shadow is or shall be
  model::ShadowId id;
  std::vector<model::Part> disks;
  std::vector<std::string> notes;
  bool elsewhere = false;  ///< it is on another host than was asked for, and stays there
};

Domain find_primary(const Context& context, const EnsureRequest& request) {
  if (request.target == request.primary)
    throw Error(
        Kind::refused,
        fmt::format("{} runs on {}: its shadow must be on another host", request.vm.get(), request.primary.get()),
        "name another host, or let umbra place choose");
  ports::Hypervisor& hypervisor = context.hypervisors.at(request.primary);
  auto domain = hypervisor.find(request.vm);
  if (!domain)
    throw Error(Kind::not_found, fmt::format("no VM {} on {}", request.vm.get(), request.primary.get()),
                "umbra status lists what is where");
  ports::require_primary(hypervisor, *domain);
  if (!domain->persistent)
    throw Error(Kind::unsupported, fmt::format("{} is transient: it has no definition to copy", request.vm.get()),
                fmt::format("define it first: {} > vm.xml; then virsh define vm.xml, with the same -c",
                            hypervisor.by_hand("dumpxml", request.vm)));
  return std::move(*domain);
}

std::vector<model::Part> disks_of(const ports::Hypervisor& hypervisor, const Domain& primary) {
  ports::require_disks(hypervisor, primary);
  std::vector<model::Part> disks;
  for (const model::Disk& disk : primary.disks) {
    if (disk.size.value == 0)
      throw Error(Kind::unsupported,
                  fmt::format("the size of disk {} of {} is not known", disk.name.get(), primary.name.get()),
                  fmt::format("look at it: {} {}", hypervisor.by_hand("domblkinfo", primary.name), disk.name.get()));
    disks.push_back({disk.name, disk.size});
  }
  return disks;
}

/// The domain of the VM's name on `host`; Kind::refused where it can't be, or become, the VM's shadow.
std::optional<Domain> find_stand_in(const Context& context, const model::HostName& host, const Domain& primary) {
  ports::Hypervisor& hypervisor = context.hypervisors.at(host);
  auto found = hypervisor.find(primary.name);
  if (!found) return std::nullopt;
  const std::string what = fmt::format("{} on {}", primary.name.get(), host.get());
  if (found->uuid != primary.uuid)
    throw Error(Kind::refused, fmt::format("{} is another VM (uuid {})", what, found->uuid.get()),
                "rename one of them, or choose another host");
  if (found->state != DomainState::off)
    throw Error(Kind::refused,
                fmt::format("{} is {}: the same VM must not be active twice", what, model::to_string(found->state)),
                "find out which of the two is the right one before anything else");
  // One whose host was given up, and whose shadow was activated since: its disks stay, as files that nothing names.
  const bool old_copy = found->tag.role != Role::none && found->tag.epoch < primary.tag.epoch;
  if (found->tag.role != Role::shadow && found->tag.role != Role::hibernated && !old_copy)
    throw Error(Kind::refused, fmt::format("{} is defined there, but not by Umbra", what),
                "if it is not needed: " + hypervisor.by_hand("undefine", primary.name));
  return found;
}

/// A shadow that is recorded on another host than was asked for stays where it is, as long as it is there.
bool stays_elsewhere(const Context& context, const Registries& registries, const EnsureRequest& request, Start& start) {
  const auto row = registries.shadows.find(request.vm);
  if (!row || row->host == request.target || row->host == request.primary) return false;
  start.stand_in = find_stand_in(context, row->host, start.primary);
  if (!start.stand_in) return false;
  start.host = row->host;
  start.id = row->id;
  start.notes.push_back(fmt::format("{0} has its shadow on {1}, where it stays; to move it: umbra shadow --drop {0}",
                                    base::shell_word(request.vm), row->host.get()));
  return true;
}

/// Points can be made of any disk; a live switchover needs more.
void note_untracked(Start& start) {
  const auto untracked = ports::untracked_disks(start.primary);
  if (untracked.empty()) return;
  start.notes.push_back(
      fmt::format("{}: each pass reads it once, and `umbra switchover` can only go --from-point until it is qcow2",
                  ports::formats_of(start.primary, untracked)));
}

Start look(const Context& context, const Registries& registries, const EnsureRequest& request) {
  Start start;
  start.primary = find_primary(context, request);
  if (const auto row = registries.shadows.find(request.vm)) ports::require_shadow_of(*row, start.primary.uuid);
  start.disks = disks_of(context.hypervisors.at(request.primary), start.primary);
  note_untracked(start);
  start.host = request.target;
  start.id = shadow_id(request.vm, start.primary.uuid);
  start.elsewhere = stays_elsewhere(context, registries, request, start);
  if (!start.elsewhere) start.stand_in = find_stand_in(context, start.host, start.primary);
  return start;
}

bool same_folder(const Domain& stand_in, const std::map<model::DiskName, std::string>& paths) {
  return stand_in.disks.size() == paths.size() && std::ranges::all_of(stand_in.disks, [&](const model::Disk& disk) {
           const auto it = paths.find(disk.name);
           return it != paths.end() && it->second == disk.path;
         });
}

void note_space(ports::PointStore& far, Start& start) {
  model::ByteCount whole;
  for (const model::Part& disk : start.disks) whole += disk.size;
  const model::ByteCount free = far.free_space();
  if (free.value != 0 && free < whole)
    start.notes.push_back(fmt::format("{} has {} bytes free, the disks of {} can grow to {}", start.host.get(),
                                      free.value, start.primary.name.get(), whole.value));
}

/// The folder, from the pool where one is left there, else new; paths of the empty layers.
std::map<model::DiskName, std::string> make_folder(const Registries& registries, const EnsureRequest& request,
                                                   ports::PointStore& far, const Start& start, Undo& undo,
                                                   bool& from_pool) {
  const auto existing = far.shadows();
  const bool there = std::ranges::count(existing, start.id) > 0;
  from_pool =
      !there && request.pooled && request.pooled->host == start.host && registries.pool.take(request.pooled->id);
  if (from_pool) {
    const ports::PoolRow row = *request.pooled;
    undo.add("taking from the pool", [&registries, row] { registries.pool.put(row); });
    auto paths = far.claim(row.id, start.id, start.primary.name, start.disks);
    undo.clear();  // a claimed folder is no longer the pool's: it is dropped, and the pool fills up again
    undo.add("claiming the folder", [&far, id = start.id] { far.drop(id); });
    return paths;
  }
  auto paths = far.create(start.id, start.primary.name, start.disks);
  if (!there) undo.add("making the folder", [&far, id = start.id] { far.drop(id); });
  return paths;
}

ports::ShadowRow row_of(const Registries& registries, const EnsureRequest& request, const Start& start) {
  ports::ShadowRow row;
  const auto before = registries.shadows.find(request.vm);
  if (before && before->id == start.id && before->host == start.host) row = *before;
  row.vm_uuid = start.primary.uuid;
  row.vm = request.vm;
  row.id = start.id;
  row.primary_host = request.primary;
  row.host = start.host;
  return row;
}

/// The shadow, act by act; each says in `undo` how it is taken back.
void make(const Context& context, const Registries& registries, const EnsureRequest& request, ports::PointStore& far,
          Start& start, Undo& undo, EnsureResult& result) {
  ports::Hypervisor& primary = context.hypervisors.at(request.primary);
  ports::Hypervisor& target = context.hypervisors.at(start.host);
  // A hibernated primary keeps its definition and its disks, which are the shadow's newest point.
  const bool hibernated = start.stand_in && start.stand_in->tag.role == Role::hibernated;
  bool from_pool = false;
  if (!hibernated && !start.elsewhere) {
    note_space(far, start);
    const auto paths = make_folder(registries, request, far, start, undo, from_pool);
    if (!start.stand_in || !same_folder(*start.stand_in, paths)) {
      const model::RoleTag tag{Role::shadow, request.primary, start.primary.tag.epoch};
      if (!start.stand_in) undo.add("defining the shadow", [&target, &request] { target.undefine(request.vm); });
      target.define_shadow(start.primary, {paths, request.networks, tag});
      result.created = !start.stand_in;
    }
  }

  const model::RoleTag tag{Role::primary, start.host, start.primary.tag.epoch};
  if (start.primary.tag != tag) {
    undo.add("tagging the primary", [&primary, &request, &start] { primary.set_tag(request.vm, start.primary.tag); });
    primary.set_tag(request.vm, tag);
  }

  result.row = row_of(registries, request, start);
  result.row.level = ports::level_of(far.points(start.id));
  result.row.from_pool = result.row.from_pool || from_pool;
  registries.shadows.put(result.row);
}

}  // namespace

model::ShadowId shadow_id(const model::VmName& vm, const model::Uuid& uuid) {
  std::string id;
  for (const char c : vm.get()) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
    id += plain ? c : '_';
  }
  return model::ShadowId(id.substr(0, 64) + "-" + uuid.get().substr(0, 8));
}

EnsurePlan plan(const Context& context, const Registries& registries, const EnsureRequest& request) {
  const Start start = look(context, registries, request);
  EnsurePlan plan{start.id, start.host, start.stand_in.has_value(), std::nullopt, start.disks};
  if (!plan.exists && request.pooled && request.pooled->host == start.host) plan.from_pool = request.pooled->id;
  return plan;
}

EnsureResult ensure(const Context& context, const Registries& registries, const EnsureRequest& request) {
  Start start = look(context, registries, request);
  const auto far = context.transport.connect(start.host);  // outlives what undo may need of it
  EnsureResult result;
  Undo undo;
  base::or_undo([&] { make(context, registries, request, *far, start, undo, result); }, [&] { undo.run(); });
  result.notes = std::move(start.notes);
  return result;
}

}  // namespace umbra::shadow
