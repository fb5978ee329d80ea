// SPDX-License-Identifier: Apache-2.0
#include "fakes/sim_world.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

namespace umbra::fakes {

using model::DomainState;
using State = ports::MoveProgress::State;

void SimWorld::new_run() {
  m_dead = false;
  // Nobody comes at once.
  time += base::Millis{60'000};
  if (migration && migration->given_up) give_up_answer();
  check();
  fault.reset();
  calls = 0;
  trace.clear();
}

void SimWorld::enter(const std::string& name) {
  if (m_dead) throw SimCrash{};
  ++calls;
  trace.push_back(name);
  time += base::Millis{1};
  event();
  leave(Fault::When::before);
}

void SimWorld::leave(Fault::When when) {
  check();
  if (fault && fault->at == calls && fault->when == when) strike();
}

void SimWorld::written(const std::function<void()>& lose) {
  if (!journal_syncs) m_unsynced.push_back(lose);
  if (!fault || fault->at != calls || fault->when != Fault::When::unsynced) return;
  if (fault->kind == Fault::Kind::crash && journal_syncs) lose();  // else it goes with the rest
  strike();
}

void SimWorld::strike() {
  if (fault->kind == Fault::Kind::blow) return fault->blow(*this);
  if (fault->kind == Fault::Kind::error) throw base::Error(base::Kind::io, "injected failure of " + trace.back());
  if (fault->blow) fault->blow(*this);
  m_dead = true;
  for (auto lost = m_unsynced.rbegin(); lost != m_unsynced.rend(); ++lost) (*lost)();
  m_unsynced.clear();
  throw SimCrash{};
}

void SimWorld::event() {
  for (auto& [name, host] : hosts) {
    for (auto& [vm, domain] : host.domains) {
      if (domain.live && domain.live->state == DomainState::running) write(vm, host, *domain.live);
    }
  }
  advance_migration();
  for (auto& [name, host] : hosts) {
    if (host.back_after > 0 && --host.back_after == 0) bring_back(host);
  }
  if (link.heals_after > 0 && --link.heals_after == 0) link.is_cut = false;
  check();
}

void SimWorld::write(const model::VmName& vm, SimHost& host, model::Domain& domain) {
  SimGuest& guest = guests[vm];
  if (guest.idle || host.domains.at(vm).fs_frozen) return;
  const std::uint64_t number = ++guest.last;
  const model::Disk& disk = domain.disks[number % domain.disks.size()];
  const auto file = host.files.find(disk.path);
  if (file == host.files.end()) violation(fmt::format("{}'s disk {} is gone", vm.get(), disk.path));
  // Most writes go to a few hot blocks; one in five to the next cold one, which is not written again during a walk, so
  // that a delta that gets lost is not covered by what is written later.
  const std::uint64_t blocks = model::blocks_in(disk.size);
  const std::uint64_t hot = blocks * 2 / 5;
  const std::uint64_t block = number % 5 == 0 ? hot + number / 10 % (blocks - hot) : number * 7 % hot;
  file->second.blocks[block] = number;
  for (auto& [bitmap, dirty] : file->second.bitmaps) dirty.insert(block);
  guest.acknowledged[disk.name][block] = number;
}

void SimWorld::advance_migration() {
  if (!migration || migration->state != State::running) return;
  SimMigration& move = *migration;
  SimDomain& source = host(move.from).domains.at(move.vm);
  SimDomain& target = host(move.to).domains[move.vm];
  if (move.given_up && time >= *move.given_up) return give_up_answer();
  if (move.arrived) return advance_arrived();
  if (move.given_up) return;  // both halves wait
  if (move.abort) return fail_migration("aborted");
  if (move.stopped) {
    if (move.rounds-- > 0) return;
    if (link.fails_late) return fail_migration("the link was cut");
    if (!link.fails_at_start) return arrive();
    mirror();
    persist();
    host(move.to).domains.at(move.vm).defined->start_failed = true;
    give_up_answer();
    move.error = "the target could not start its CPUs";
    return;
  }
  if (move.postcopy_asked) return begin_postcopy();
  if (move.request.downtime_limit < link.converges_at) {
    move.rounds = move.rounds > 1 ? move.rounds - 1 : 4;  // pass after pass, each as long as the one before
    return;
  }
  if (move.rounds-- > 0) return;
  if (link.fails_early) return fail_migration("the target said no");
  move.stopped = true;
  move.suspended = source.live->state == DomainState::paused;
  move.rounds = static_cast<int>(link.stands_for);
  source.live->state = DomainState::paused;
  source.live->is_half = !move.suspended;
  target.live->state = DomainState::paused;
}

/// What was defined on the target is replaced by what arrives.
void SimWorld::persist() {
  SimDomain& target = host(migration->to).domains.at(migration->vm);
  target.defined = target.live;
  target.defined->state = DomainState::off;
  target.defined->job = target.defined->is_half = false;
}

/// Its writes up to now are on the target's disks.
void SimWorld::mirror() {
  const SimHost& from = host(migration->from);
  SimHost& to = host(migration->to);
  for (const model::Disk& disk : from.domains.at(migration->vm).live->disks) {
    const SimFile& top = from.files.at(disk.path);
    for (const auto& [block, number] : top.blocks)
      to.files.at(migration->request.target_paths.at(disk.name)).blocks[block] = number;
  }
}

/// What stands on the source has heard of it, or will.
void SimWorld::arrive() {
  SimMigration& move = *migration;
  SimDomain& source = host(move.from).domains.at(move.vm);
  SimDomain& target = host(move.to).domains.at(move.vm);
  mirror();
  persist();
  target.live->job = target.live->is_half = false;
  target.live->state = move.suspended ? DomainState::paused : DomainState::running;
  source.live->state = DomainState::paused;
  source.live->is_half = !move.suspended;
  move.arrived = true;
  move.rounds = static_cast<int>(link.ends_after);
}

void SimWorld::begin_postcopy() {
  SimMigration& move = *migration;
  move.stopped = move.postcopy = true;
  arrive();
  move.rounds *= 3;
  host(move.from).domains.at(move.vm).live->postcopy = model::Postcopy::active;
  host(move.to).domains.at(move.vm).live->postcopy = model::Postcopy::active;
}

void SimWorld::advance_arrived() {
  SimMigration& move = *migration;
  if (move.postcopy && link.is_cut) return;  // TCP waits
  if (move.rounds-- > 0) return;
  if (move.postcopy) host(move.to).domains.at(move.vm).live->postcopy = model::Postcopy::none;
  std::optional<model::Domain>& left = host(move.from).domains.at(move.vm).live;
  if (!move.unheard) {
    left.reset();
  } else if (move.postcopy) {
    left->postcopy = model::Postcopy::none;
    left->job = false;
  } else {
    return;
  }
  move.state = State::done;
}

void SimWorld::fail_postcopy() {
  for (const model::HostName& name : {migration->from, migration->to}) {
    std::optional<model::Domain>& half = host(name).domains.at(migration->vm).live;
    if (!half || half->postcopy == model::Postcopy::none) continue;  // gone, or started anew since
    half->state = DomainState::paused;
    half->postcopy = model::Postcopy::failed;
    half->job = false;
  }
  migration->state = State::failed;
  migration->error = "the other half does not answer";
}

bool SimWorld::can_resume_postcopy() {
  if (!migration || !migration->postcopy || migration->state != State::failed || link.is_cut) return false;
  const auto stands = [&](const model::HostName& name) {
    const SimDomain& domain = host(name).domains.at(migration->vm);
    return host(name).reachable && domain.live && domain.live->postcopy == model::Postcopy::failed;
  };
  return stands(migration->from) && stands(migration->to);
}

void SimWorld::resume_postcopy() {
  SimDomain& source = host(migration->from).domains.at(migration->vm);
  SimDomain& target = host(migration->to).domains.at(migration->vm);
  source.live->postcopy = target.live->postcopy = model::Postcopy::active;
  source.live->job = true;
  target.live->state = DomainState::running;
  migration->unheard = false;
  migration->rounds = static_cast<int>(3 * link.ends_after);
  migration->state = State::running;
}

/// Of a guest that has not arrived.
void SimWorld::fail_migration(const std::string& why) {
  SimDomain& source = host(migration->from).domains.at(migration->vm);
  source.live->state = migration->suspended ? DomainState::paused : DomainState::running;
  source.live->job = source.live->is_half = false;
  SimHost& to = host(migration->to);
  SimDomain& target = to.domains.at(migration->vm);
  target.live.reset();
  if (!target.defined) to.domains.erase(migration->vm);
  migration->state = State::failed;
  migration->error = why;
}

namespace {

/// Newest first.
using Layers = std::vector<const SimFile*>;

Layers layers_of(const SimHost& host, const std::string& path) {
  Layers layers;
  for (const std::string* at = &path; !at->empty(); at = &layers.back()->backing) {
    const auto file = host.files.find(*at);
    if (file == host.files.end()) SimWorld::violation(fmt::format("{} of the chain of {} is gone", *at, path));
    layers.push_back(&file->second);
  }
  return layers;
}

std::uint64_t read(const Layers& layers, std::uint64_t block) {
  for (const SimFile* layer : layers) {
    if (const auto found = layer->blocks.find(block); found != layer->blocks.end()) return found->second;
  }
  return 0;
}

}  // namespace

void SimWorld::check() const {
  for (const auto& [vm, guest] : guests) {
    const auto where = running_on(vm);
    if (where.size() > 1) violation(fmt::format("{} runs on {} hosts", vm.get(), where.size()));
    if (where.empty()) continue;
    const SimHost& home = hosts.at(where.front());
    for (const model::Disk& disk : home.domains.at(vm).live->disks) {
      const auto told = guest.acknowledged.find(disk.name);
      if (told == guest.acknowledged.end()) continue;
      const auto layers = layers_of(home, disk.path);
      for (const auto& [block, number] : told->second) {
        const std::uint64_t found = fakes::read(layers, block);
        if (found == number) continue;
        violation(fmt::format("{} on {}: {} block {} holds {}, {} was acknowledged", vm.get(), where.front().get(),
                              disk.name.get(), block, found, number));
      }
    }
  }
}

SimHost& SimWorld::host(const model::HostName& name) {
  const auto it = hosts.find(name);
  if (it == hosts.end()) throw base::Error(base::Kind::not_found, "no host named " + name.get());
  return it->second;
}

std::uint64_t SimWorld::read(const SimHost& host, const std::string& path, std::uint64_t block) {
  return fakes::read(layers_of(host, path), block);
}

std::vector<std::string> SimWorld::chain(const SimHost& host, const std::string& path) {
  std::vector<std::string> files;
  for (std::string at = path; !at.empty(); at = host.files.at(at).backing) {
    if (!host.files.contains(at)) throw base::Error(base::Kind::not_found, "no file " + at);
    files.push_back(at);
  }
  return files;
}

bool SimWorld::in_use(const SimHost& host, const std::string& path) {
  for (const auto& [vm, domain] : host.domains) {
    if (!domain.live) continue;
    for (const model::Disk& disk : domain.live->disks) {
      const auto files = chain(host, disk.path);
      if (std::find(files.begin(), files.end(), path) != files.end()) return true;
    }
  }
  return false;
}

std::vector<model::HostName> SimWorld::running_on(const model::VmName& vm) const {
  std::vector<model::HostName> where;
  for (const auto& [name, host] : hosts) {
    const auto domain = host.domains.find(vm);
    if (domain != host.domains.end() && domain->second.live && domain->second.live->state == DomainState::running) {
      where.push_back(name);
    }
  }
  return where;
}

std::vector<std::string> SimWorld::leftovers() const {
  std::vector<std::string> left;
  for (const auto& [name, host] : hosts) {
    std::set<std::string> layers;
    for (const auto& [id, shadow] : host.shadows) {
      for (const auto& [number, point] : shadow.points)
        layers.insert(point.info.layers.begin(), point.info.layers.end());
    }
    for (const auto& [path, file] : host.files) {
      const bool made = path.find(".umbra-") != std::string::npos || path.find("/top-") != std::string::npos;
      if (made && !layers.contains(path) && !in_use(host, path)) left.push_back(name.get() + ":" + path);
    }
  }
  return left;
}

base::Digest sim_digest(std::uint64_t number) {
  static std::unordered_map<std::uint64_t, base::Digest> known;
  if (number == 0) return {};
  const auto [it, fresh] = known.try_emplace(number);
  if (fresh) it->second = base::sha256(sim_block(number));
  return it->second;
}

std::vector<std::byte> sim_block(std::uint64_t number) {
  std::vector<std::byte> bytes(model::block_size);
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
  return bytes;
}

std::string sim_point_path(const model::ShadowId& id, model::PointNumber point, const model::DiskName& disk) {
  return fmt::format("/images/umbra/{}/point-{:06}/{}.qcow2", id.get(), point.value, disk.get());
}

}  // namespace umbra::fakes
