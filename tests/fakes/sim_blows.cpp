// SPDX-License-Identifier: Apache-2.0
// What may happen to the simulated hosts and the link between them at any time.
#include "fakes/sim_world.hpp"

namespace umbra::fakes {

using model::DomainState;
using State = ports::MoveProgress::State;

/// Whatever ends on one side of a migration: the other goes on, or is gone.
void SimWorld::end_migration_of(const model::HostName& name) {
  if (migration && migration->state == State::running && (migration->from == name || migration->to == name))
    fail_migration("the other side is gone");
}

void SimWorld::kill_qemu(const model::HostName& name, const model::VmName& vm) {
  end_migration_of(name);
  const auto it = host(name).domains.find(vm);
  if (it == host(name).domains.end()) return;
  it->second.live.reset();
  if (!it->second.defined) host(name).domains.erase(it);
}

void SimWorld::stop_libvirtd(const model::HostName& name, unsigned events) {
  if (migration && migration->state == State::running && migration->stopped && link.arrives_unheard) {
    const SimMigration move = *migration;
    model::Domain stands = *host(move.from).domains.at(move.vm).live;
    complete_migration();
    stands.job = false;
    host(move.from).domains.at(move.vm).live = stands;
  }
  end_migration_of(name);
  host(name).reachable = false;
  host(name).back_after = events;
}

void SimWorld::crash_host(const model::HostName& name, unsigned events) {
  end_migration_of(name);
  SimHost& lost = host(name);
  for (auto& [vm, domain] : lost.domains) domain.live.reset();
  std::erase_if(lost.domains, [](const auto& entry) { return !entry.second.defined; });
  lost.is_down = true;
  lost.reachable = false;
  lost.back_after = events;
}

/// A host that boots starts what is marked for it, as far as the hook lets it.
void SimWorld::bring_back(SimHost& host) {
  host.reachable = true;
  if (!host.is_down) return;
  host.is_down = false;
  for (auto& [vm, domain] : host.domains) {
    if (!domain.defined || !domain.defined->autostart) continue;
    const model::Role role = domain.defined->tag.role;
    if (host.start_hook && role != model::Role::none && role != model::Role::primary) continue;
    domain.live = domain.defined;
    domain.live->state = DomainState::running;
  }
}

void SimWorld::cut_link(unsigned events) {
  if (migration && migration->state == State::running) fail_migration("the link was cut");
  link.is_cut = true;
  link.heals_after = events;
}

void SimWorld::heal() {
  link.is_cut = false;
  link.heals_after = 0;
  for (auto& [name, each] : hosts) {
    each.back_after = 0;
    bring_back(each);
  }
}

void SimWorld::cut_power(const model::HostName& name) {
  for (auto& [vm, domain] : host(name).domains) {
    domain.live.reset();
    const auto row = registry.find(vm);
    if (row == registry.end() || row->second.host == name) continue;
    SimHost& there = host(row->second.host);
    const model::PointNumber newest = there.shadows.at(row->second.id).points.rbegin()->first;
    for (auto& [disk, blocks] : guests[vm].acknowledged) {
      const std::string path = sim_point_path(row->second.id, newest, disk);
      for (auto& [block, number] : blocks) number = read(there, path, block);
    }
  }
}

}  // namespace umbra::fakes
