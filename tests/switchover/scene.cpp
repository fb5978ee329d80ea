// SPDX-License-Identifier: Apache-2.0
#include "scene.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace umbra::switchover {

std::string untidy(const fakes::SimWorld& world) {
  const auto running = world.running_on(web1);
  if (running.size() != 1) return fmt::format("it runs on {} hosts", running.size());
  if (const auto left = world.leftovers(); !left.empty()) return fmt::format("left over: {}", fmt::join(left, ", "));
  for (const ports::Walk& walk : world.walks) {
    if (walk.state == "open") return "a walk is open";
  }
  if (!world.leases.empty()) return "a lease is held";
  const model::HostName& here = running.front();
  const model::HostName& there = here == alpha ? beta : alpha;
  const model::Domain& guest = *world.hosts.at(here).domains.at(web1).live;
  if (guest.tag.epoch != world.epochs.at(guest.uuid)) return "the guest does not hold the newest epoch";
  const auto row = world.registry.find(web1);
  if (row == world.registry.end() || row->second.primary_host != here || row->second.host != there) {
    return "the registry does not say where the shadow is";
  }
  const fakes::SimDomain& shadow = world.hosts.at(there).domains.at(web1);
  if (shadow.live) return "the shadow is active";
  if (shadow.defined->tag.peer != here) return "the shadow names another peer";
  if (shadow.defined->tag.role != model::Role::shadow && shadow.defined->tag.role != model::Role::hibernated) {
    return "the shadow may start";
  }
  if (world.hosts.at(there).shadows.at(shadow_id).points.empty()) return "the shadow has no point";
  return {};
}

std::string picture(const fakes::SimWorld& world) {
  std::string text;
  for (const auto& [name, host] : world.hosts) {
    for (const auto& [path, file] : host.files) text += fmt::format("{} {} < {}\n", name.get(), path, file.backing);
    for (const auto& [vm, domain] : host.domains) {
      const model::Domain& d = domain.live ? *domain.live : *domain.defined;
      text += fmt::format("{} {} {} {} {}", name.get(), vm.get(), model::to_string(d.state),
                          model::to_string(d.tag.role), d.tag.epoch.value);
      for (const model::Disk& disk : d.disks) text += " " + disk.path;
      for (const auto& checkpoint : domain.checkpoints) text += " " + checkpoint.get();
      text += "\n";
    }
    for (const auto& [id, shadow] : host.shadows) {
      if (shadow.points.empty()) continue;
      text += fmt::format("{} {} {} points {} tops\n", name.get(), id.get(), shadow.points.size(), shadow.tops.size());
    }
  }
  for (const auto& [uuid, epoch] : world.epochs) text += fmt::format("{} {}\n", uuid.get(), epoch.value);
  for (const auto& [vm, row] : world.registry)
    text += fmt::format("{} {} {}\n", vm.get(), row.host.get(), row.id.get());
  text += fmt::format("{} walks\n", world.walks.size());
  return text;
}

void start_on_both(fakes::SimWorld& world) {
  fakes::SimHypervisors hypervisors(world);
  for (const model::HostName& host : {alpha, beta}) {
    try {
      hypervisors.at(host).start(web1);
    } catch (const base::Error&) {
      // It is up there, or the hook says no.
    }
  }
}

}  // namespace umbra::switchover
