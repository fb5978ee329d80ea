// SPDX-License-Identifier: Apache-2.0
// Simulated libvirt: each call has its effect whole or throws.
#include <fmt/core.h>

#include <algorithm>

#include "fakes/sim_ports.hpp"

namespace umbra::fakes {

using base::Error;
using base::Kind;
using model::DomainState;

SimHypervisors::SimHypervisors(SimWorld& world) {
  for (const auto& [name, host] : world.hosts) m_hosts.emplace(name, SimHypervisor(world, name));
}

ports::Hypervisor& SimHypervisors::at(const model::HostName& host) {
  const auto it = m_hosts.find(host);
  if (it == m_hosts.end()) throw Error(Kind::not_found, "no host is named " + host.get());
  return it->second;
}

std::vector<model::HostName> SimHypervisors::names() const {
  std::vector<model::HostName> names;
  for (const auto& [name, host] : m_hosts) names.push_back(name);
  return names;
}

SimDomain& SimHypervisor::domain(const model::VmName& vm) {
  const auto it = at().domains.find(vm);
  if (it == at().domains.end()) throw Error(Kind::not_found, "no domain " + vm.get());
  return it->second;
}

model::Domain& SimHypervisor::live(const model::VmName& vm) {
  SimDomain& found = domain(vm);
  if (!found.live) throw Error(Kind::refused, vm.get() + " is off");
  return *found.live;
}

model::HostFacts SimHypervisor::facts() {
  return call("facts", [&] { return at().facts; });
}

std::vector<model::Domain> SimHypervisor::domains() {
  return call("domains", [&] {
    std::vector<model::Domain> all;
    for (const auto& [vm, found] : at().domains) all.push_back(found.live ? *found.live : *found.defined);
    return all;
  });
}

std::optional<model::Domain> SimHypervisor::seen(const model::VmName& vm) {
  const auto it = at().domains.find(vm);
  if (it == at().domains.end()) return std::nullopt;
  model::Domain found = it->second.live ? *it->second.live : *it->second.defined;
  for (model::Disk& disk : found.disks) {
    if (!it->second.live || !at().files.contains(disk.path)) continue;  // of a domain that is off libvirt tells none
    disk.chain = SimWorld::chain(at(), disk.path);
    disk.chain.erase(disk.chain.begin());
  }
  return found;
}

/// As libvirt, which answers for the size of a disk once no migration brings the guest any more, or after half a
/// minute.
std::optional<model::Domain> SimHypervisor::find(const model::VmName& vm) {
  return call("find", [&] {
    const auto found = seen(vm);
    const SimMigration* move = m_world.migration ? &*m_world.migration : nullptr;
    if (found && move && move->to == m_name && move->postcopy && move->state == ports::MoveProgress::State::running)
      m_world.time += base::Millis{30'000} * static_cast<int>(found->disks.size());
    return found;
  });
}

std::optional<model::Domain> SimHypervisor::glance(const model::VmName& vm) {
  return call("glance", [&] {
    auto found = seen(vm);
    if (!found) return found;
    for (model::Disk& disk : found->disks) disk.size = {};
    return found;
  });
}

model::CpuVerdict SimHypervisor::can_run_cpu_of(const model::Domain&) {
  return call("cpu", [&] { return at().cpu; });
}

std::optional<model::ByteRate> SimHypervisor::dirty_rate(const model::VmName& vm) {
  return call("dirty rate", [&]() -> std::optional<model::ByteRate> {
    live(vm);
    return model::ByteRate{10e6};
  });
}

bool SimHypervisor::agent_is_silent(const model::VmName&) {
  return call("ask agent", [&] { return m_world.agent_hangs; });
}

std::optional<model::GuestActivity> SimHypervisor::guest_activity(const model::VmName& vm) {
  return call("activity", [&] {
    live(vm);
    return m_world.guests.at(vm).activity;
  });
}

void SimHypervisor::define_shadow(const model::Domain& primary, const ports::ShadowDefinition& definition) {
  call("define", [&] {
    if (SimDomain& there = at().domains[primary.name]; there.live) throw Error(Kind::refused, "it is active");
    model::Domain stand_in = primary;
    stand_in.state = DomainState::off;
    stand_in.tag = definition.tag;
    stand_in.job = false;
    stand_in.autostart = false;
    for (model::Disk& disk : stand_in.disks) disk.path = definition.disk_paths.at(disk.name);
    for (model::Nic& nic : stand_in.nics) {
      if (definition.networks.contains(nic.network)) nic.network = definition.networks.at(nic.network);
    }
    stand_in.postcopy = model::Postcopy::none;
    at().domains[primary.name] = {stand_in, std::nullopt, {}};
  });
}

void SimHypervisor::undefine(const model::VmName& vm) {
  call("undefine", [&] {
    const auto it = at().domains.find(vm);
    if (it == at().domains.end()) return;
    if (it->second.live) SimWorld::violation("undefined while active");
    at().domains.erase(it);
  });
}

void SimHypervisor::set_tag(const model::VmName& vm, const model::RoleTag& tag) {
  call("set tag", [&] {
    SimDomain& found = domain(vm);
    if (found.defined) found.defined->tag = tag;
    if (found.live) found.live->tag = tag;
  });
}

void SimHypervisor::set_autostart(const model::VmName& vm, bool on) {
  call("autostart", [&] {
    SimDomain& found = domain(vm);
    if (!found.defined) throw Error(Kind::refused, "a transient domain has no autostart");
    found.defined->autostart = on;
    if (found.live) found.live->autostart = on;
  });
}

std::vector<model::CheckpointName> SimHypervisor::checkpoints(const model::VmName& vm) {
  return call("checkpoints", [&] { return domain(vm).checkpoints; });
}

std::map<model::DiskName, std::string> SimHypervisor::checkpoint_files(const model::VmName&,
                                                                       const model::CheckpointName&) {
  return call("checkpoint files", [] { return std::map<model::DiskName, std::string>(); });
}

void SimHypervisor::delete_checkpoint(const model::VmName& vm, const model::CheckpointName& name) {
  call("delete checkpoint", [&] { std::erase(domain(vm).checkpoints, name); });
}

std::unique_ptr<ports::BackupJob> SimHypervisor::begin_backup(const model::VmName&, const ports::BackupRequest&) {
  throw Error(Kind::unsupported, "the simulated hypervisor has no backup jobs; SimWorld::replicate stands for a pass");
}

bool SimHypervisor::end_stale_backup(const model::VmName&) {
  return false;
}

ports::FreezeResult SimHypervisor::freeze(const model::VmName& vm, const ports::FreezeRequest& request) {
  if (m_world.guests.at(vm).has_agent) call("fs freeze", [&] { domain(vm).fs_frozen = live(vm).agent = true; });
  return call("freeze", [&] {
    model::Domain& guest = live(vm);
    if (guest.job) throw Error(Kind::busy, "another job is under way");
    domain(vm).fs_frozen = false;
    for (const auto& [disk, overlay] : request.overlays) {
      if (at().files.contains(overlay)) throw Error(Kind::refused, "the overlay exists: " + overlay);
    }
    for (model::Disk& disk : guest.disks) {
      SimFile overlay{disk.size, disk.path, {}, {}};
      for (const auto& [bitmap, dirty] : at().files.at(disk.path).bitmaps) overlay.bitmaps[bitmap] = {};
      disk.path = request.overlays.at(disk.name);
      at().files[disk.path] = overlay;
    }
    if (domain(vm).defined) domain(vm).defined->disks = guest.disks;
    return ports::FreezeResult{base::Instant(m_world.time), guest.agent && request.quiesce && !m_world.agent_hangs, 12};
  });
}

void SimHypervisor::thaw(const model::VmName& vm) {
  if (!m_world.guests.at(vm).has_agent) return;
  call("thaw", [&] {
    live(vm);
    domain(vm).fs_frozen = false;
  });
}

/// As the real one: a commit per disk is begun, or gone on with; then each disk in turn goes on on its base. Who is cut
/// off in between leaves commits under way, and the guest has a job.
void SimHypervisor::fold(const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to) {
  call("fold", [&] {
    SimDomain& found = domain(vm);
    model::Domain& guest = live(vm);
    if (!guest.job) found.commits.clear();  // they end with their QEMU
    if (guest.job && found.commits.empty()) throw Error(Kind::busy, "another job is under way");
    for (const model::Disk& disk : guest.disks) {
      const auto base = down_to.find(disk.name);
      if (base == down_to.end() || base->second == disk.path) continue;
      const auto files = SimWorld::chain(at(), disk.path);
      if (std::ranges::find(files, base->second) == files.end())
        throw Error(Kind::invalid, base->second + " is not in the chain");
      found.commits[disk.name] = base->second;
      guest.job = true;
    }
  });
  try {
    for (const auto& [disk, base] : down_to) call("pivot " + disk.get(), [&] { pivot(vm, disk); });
  } catch (const Error&) {
    if (!at().reachable) throw;
    if (SimDomain& found = domain(vm); found.live && !found.commits.empty()) {
      found.commits.clear();
      found.live->job = false;
    }
    throw;
  }
}

void SimHypervisor::pivot(const model::VmName& vm, const model::DiskName& name) {
  SimDomain& found = domain(vm);
  model::Domain& guest = live(vm);
  const auto commit = found.commits.find(name);
  if (commit == found.commits.end()) return;
  const auto disk = std::ranges::find(guest.disks, name, &model::Disk::name);
  const auto files = SimWorld::chain(at(), disk->path);
  SimFile& into = at().files.at(commit->second);
  for (auto file = std::make_reverse_iterator(std::ranges::find(files, commit->second)); file != files.rend(); ++file) {
    for (const auto& [block, number] : at().files.at(*file).blocks) {
      into.blocks[block] = number;
      for (auto& [bitmap, dirty] : into.bitmaps) dirty.insert(block);
    }
  }
  disk->path = commit->second;
  found.commits.erase(commit);
  guest.job = !found.commits.empty();
  if (found.defined) found.defined->disks = guest.disks;
}

namespace {

class SimMove : public ports::Move {
 public:
  explicit SimMove(SimWorld& world) : m_world(world) {}
  ports::MoveProgress progress() override {
    return m_world.call("move progress", [&] {
      const SimMigration& move = *m_world.migration;
      ports::MoveProgress now;
      now.state = move.state;
      now.dirty_bytes_per_s = 50e6;
      now.bytes_per_s = 40e6;
      const double a_round = std::max(1e6, now.bytes_per_s / 4 * base::Seconds(m_world.link.converges_at).count());
      now.remaining = {static_cast<std::uint64_t>(std::max(0, move.rounds) * a_round)};
      now.stopped = move.stopped;
      now.postcopy = move.postcopy;
      now.error = move.error;
      return now;
    });
  }
  ports::MoveProgress::State state() override { return m_world.migration->state; }
  bool holds_guest() override {
    return m_world.call("move holds", [] { return true; });
  }
  void set_downtime_limit(base::Millis limit) override {
    m_world.call("move limit", [&] { m_world.migration->request.downtime_limit = limit; });
  }
  void start_postcopy() override {
    m_world.call("move postcopy", [&] {
      if (!m_world.migration->request.postcopy) SimWorld::violation("post-copy was begun that was not allowed");
      m_world.migration->postcopy_asked = true;
    });
  }
  /// Only where the source's libvirt can be reached.
  void let_source_end(base::Millis) override {
    m_world.call("move ends", [&] {
      SimMigration& move = *m_world.migration;
      if (move.postcopy || move.state != ports::MoveProgress::State::running || !m_world.host(move.from).reachable)
        return;
      move.unheard = false;
      move.given_up.reset();
    });
  }
  void abort() override {
    m_world.call("move abort", [&] { m_world.migration->abort = true; });
  }

 private:
  SimWorld& m_world;
};

}  // namespace

std::unique_ptr<ports::Move> SimHypervisor::begin_move(const model::VmName& vm, const ports::MoveRequest& request) {
  if (request.resume) {
    return call("resume move", [&] {
      if (!m_world.can_resume_postcopy()) throw Error(Kind::io, "the other half does not answer");
      m_world.resume_postcopy();
      return std::make_unique<SimMove>(m_world);
    });
  }
  return call("begin move", [&] {
    model::Domain& guest = live(vm);
    if (guest.job) throw Error(Kind::busy, "another job is under way");
    const model::HostName to(request.peer_uri.substr(std::string("sim://").size()));
    SimHost& far = m_world.host(to);
    SimDomain& there = far.domains[vm];
    if (there.live) throw Error(Kind::refused, "it is active on the target");
    if (m_world.link.is_cut || !far.reachable) throw Error(Kind::io, "the target does not answer the source");
    for (const auto& [disk, path] : request.target_paths) {
      if (!far.files.contains(path)) throw Error(Kind::not_found, "the target has no " + path);
      if (!far.files.at(path).blocks.empty()) SimWorld::violation("the target's top layer is not empty: " + path);
    }
    model::Domain incoming = guest;
    incoming.state = DomainState::paused;
    incoming.job = incoming.is_half = true;
    incoming.tag = request.tag;
    for (model::Disk& disk : incoming.disks) disk.path = request.target_paths.at(disk.name);
    for (model::Nic& nic : incoming.nics) {
      if (request.networks.contains(nic.network)) nic.network = request.networks.at(nic.network);
    }
    there.live = incoming;
    guest.job = true;
    m_world.migration = SimMigration{vm, m_name, to, request};
    return std::make_unique<SimMove>(m_world);
  });
}

ports::MoveFigures SimHypervisor::last_move(const model::VmName&) {
  return call("figures", [&]() -> ports::MoveFigures {
    if (!m_world.migration) return {};
    if (m_world.migration->to == m_name) return {120, {}, {}};
    return {100, 4100, model::ByteCount{300'000'000}};
  });
}

std::future<void> SimHypervisor::announce(const model::VmName& vm) {
  std::promise<void> told;
  try {
    call("announce", [&] { live(vm); });
    told.set_value();
  } catch (const Error&) {
    told.set_exception(std::current_exception());
  }
  return told.get_future();
}

void SimHypervisor::resume(const model::VmName& vm) {
  call("resume", [&] {
    const bool is_source = m_world.migration && m_world.migration->from == m_name && m_world.migration->vm == vm;
    if (is_source && m_world.held && m_world.guarded)
      throw Error(Kind::io, "QEMU does not get the images back: somebody holds them");
    live(vm).state = DomainState::running;
    live(vm).is_half = false;
    if (is_source) m_world.held = false;
  });
}

void SimHypervisor::destroy(const model::VmName& vm) {
  call("destroy", [&] {
    domain(vm);
    m_world.kill_qemu(m_name, vm);
  });
}

}  // namespace umbra::fakes
