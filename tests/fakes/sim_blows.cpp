// SPDX-License-Identifier: Apache-2.0
// What may happen to the simulated hosts and the link between them at any time.
#include "fakes/sim_world.hpp"

namespace umbra::fakes {

using model::DomainState;
using State = ports::MoveProgress::State;

namespace {

constexpr base::Millis keepalive{6'000};

}  // namespace

/// The guest's QEMU on one side of a migration has ended: the other side goes on, or is gone.
void SimWorld::end_migration_of(const model::HostName& name) {
  if (!migration || (migration->from != name && migration->to != name)) return;
  if (migration->arrived && migration->postcopy && migration->state != State::done) return fail_postcopy();
  if (migration->state != State::running) return;
  if (!migration->arrived) return fail_migration("the other side is gone");
  host(migration->from).domains.at(migration->vm).live.reset();
  migration->state = State::done;
}

/// The source's libvirt waits for the target's answer, until its keepalive gives up, or hears that nobody is there any
/// more.
void SimWorld::lose_answer(base::Millis patience) {
  migration->unheard = true;
  if (!migration->given_up) migration->given_up = time + patience;
}

/// It takes the migration for failed then, and lets the guest go on, as far as QEMU gets its images back.
void SimWorld::give_up_answer() {
  migration->given_up.reset();
  std::optional<model::Domain>& half = host(migration->from).domains.at(migration->vm).live;
  migration->state = State::failed;
  migration->error = "the target's answer was lost";
  if (!half) return;
  half->job = false;
  if (guarded && guard_holds) {
    held = true;
  } else {
    half->state = DomainState::running;
    half->is_half = false;
  }
  if (migration->arrived) return;
  SimHost& to = host(migration->to);
  SimDomain& target = to.domains.at(migration->vm);
  target.live.reset();  // libvirt there ends what nobody told to go on
  if (!target.defined) to.domains.erase(migration->vm);
}

/// Of a blow while the guest stands: whether it strikes after QEMU has done its part.
bool SimWorld::hands_over_unheard() {
  if (!migration->stopped || migration->arrived) return false;
  if (migration->given_up) return true;  // by an earlier blow, and who was to let it go on may be gone
  if (link.arrives_unheard) {
    arrive();
  } else if (link.persists) {
    mirror();
    persist();
  }
  return link.arrives_unheard || link.persists || link.handed_over;
}

void SimWorld::kill_qemu(const model::HostName& name, const model::VmName& vm) {
  const auto it = host(name).domains.find(vm);
  if (it == host(name).domains.end()) return;
  const bool was_up = it->second.live.has_value();
  it->second.live.reset();
  if (was_up) end_migration_of(name);
  if (!it->second.defined) host(name).domains.erase(it);
}

void SimWorld::stop_libvirtd(const model::HostName& name, unsigned events) {
  const bool of_it = migration && (migration->from == name || migration->to == name);
  if (of_it && migration->state == State::running) {
    const bool handed_over = hands_over_unheard();
    if (!migration->arrived && !handed_over) {
      fail_migration("the other side is gone");
    } else if (migration->postcopy) {
      migration->unheard = true;  // the QEMUs need no libvirtd
    } else if (migration->from == name) {
      migration->unheard = true;  // it does not remember that it was to wait for anything
      migration->given_up.reset();
      host(name).domains.at(migration->vm).live->job = false;
      if (!migration->arrived) give_up_answer();
    } else {
      lose_answer(base::Millis{0});
    }
  }
  host(name).reachable = false;
  host(name).back_after = events;
}

void SimWorld::crash_host(const model::HostName& name, unsigned events) {
  SimHost& lost = host(name);
  const bool unanswered = migration && migration->to == name && migration->state == State::running &&
                          !migration->postcopy && (hands_over_unheard() || migration->arrived);
  if (unanswered) lose_answer(keepalive);
  for (auto& [vm, domain] : lost.domains) {
    const bool was_up = domain.live.has_value();
    domain.live.reset();
    if (was_up && !unanswered) end_migration_of(name);
  }
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
    if (objection_to_start(host.facts.name, *domain.defined)) continue;
    domain.live = domain.defined;
    domain.live->state = DomainState::running;
  }
}

void SimWorld::cut_link(unsigned events) {
  if (migration && migration->state == State::running) {
    const bool handed_over = hands_over_unheard();
    if (!migration->arrived && !handed_over)
      fail_migration("the link was cut");
    else if (migration->postcopy && (guarded || events == 0))  // TCP outlives what is mended soon
      fail_postcopy();
    else if (!migration->postcopy)
      lose_answer(keepalive);
  }
  link.is_cut = true;
  link.heals_after = events;
}

void SimWorld::isolate(const model::HostName& name, unsigned events) {
  cut_link(events);
  host(name).reachable = false;
  host(name).back_after = events;
}

bool SimWorld::put_layer(const model::HostName& name, const model::VmName& vm) {
  SimHost& on = host(name);
  if (!on.domains.contains(vm)) return false;
  SimDomain& domain = on.domains.at(vm);
  if (!domain.live || domain.live->state != DomainState::running || domain.live->job) return false;
  for (model::Disk& disk : domain.live->disks) {
    const std::string layer = "/images/nightly-" + disk.name.get() + ".qcow2";
    if (on.files.contains(layer)) return false;
    on.files[layer] = {disk.size, disk.path, {}, {}};
    disk.path = layer;
  }
  if (domain.defined) domain.defined->disks = domain.live->disks;
  return true;
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
    const auto activated = there.domains.find(vm);
    if (activated != there.domains.end() && activated->second.defined->tag.role == model::Role::primary) continue;
    const model::PointInfo& newest = there.shadows.at(row->second.id).points.rbegin()->second.info;
    for (std::size_t part = 0; part < newest.parts.size(); ++part) {
      for (auto& [block, number] : guests[vm].acknowledged[newest.parts[part].name])
        number = read(there, newest.layers[part], block);
    }
  }
}

}  // namespace umbra::fakes
