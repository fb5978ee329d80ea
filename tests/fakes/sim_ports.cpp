// SPDX-License-Identifier: Apache-2.0
// What Umbra keeps, its lease, its clock and its hooks.
#include "fakes/sim_ports.hpp"

#include <algorithm>
#include <utility>

namespace umbra::fakes {
namespace {

std::string phase_name(ports::StepPhase phase) {
  switch (phase) {
    case ports::StepPhase::intent:
      return "intent";
    case ports::StepPhase::done:
      return "done";
    case ports::StepPhase::undone:
      return "undone";
  }
  return "";
}

class SimLease : public ports::Lease {
 public:
  SimLease(SimWorld& world, model::VmName vm) : m_world(world), m_vm(std::move(vm)) {}
  /// By the kernel, when the process dies: no call, no fault.
  ~SimLease() override { m_world.leases.erase(m_vm); }

 private:
  SimWorld& m_world;
  model::VmName m_vm;
};

ports::Walk& walk_of(SimWorld& world, std::int64_t id) {
  return world.walks.at(static_cast<std::size_t>(id) - 1);
}

}  // namespace

std::int64_t SimJournal::open_walk(const ports::Walk& walk) {
  return m_world.call("journal open", [&] {
    for (const ports::Walk& open : m_world.walks) {
      const bool beside = walk.kind == ports::lost_host_kind && open.kind != ports::lost_host_kind;
      if (open.uuid == walk.uuid && open.state == "open" && !beside)
        throw base::Error(base::Kind::interrupted, "a " + open.kind + " is still open");
    }
    m_world.walks.push_back(walk);
    m_world.walks.back().id = static_cast<std::int64_t>(m_world.walks.size());
    m_world.written([world = &m_world] { world->walks.pop_back(); });
    return m_world.walks.back().id;
  });
}

void SimJournal::append(std::int64_t walk, const ports::JournalEntry& entry) {
  m_world.call("journal " + entry.step + " " + phase_name(entry.phase), [&] {
    if (walk_of(m_world, walk).state != "open") SimWorld::violation("an entry for a walk that is closed");
    m_world.entries[walk].push_back(entry);
    m_world.written([world = &m_world, walk] { world->entries[walk].pop_back(); });
  });
}

std::vector<ports::JournalEntry> SimJournal::entries(std::int64_t walk) {
  return m_world.call("journal read", [&] { return m_world.entries[walk]; });
}

void SimJournal::close_walk(std::int64_t walk, const std::string& state) {
  m_world.call("journal close", [&] {
    const std::string before = std::exchange(walk_of(m_world, walk).state, state);
    m_world.written([world = &m_world, walk, before] { walk_of(*world, walk).state = before; });
  });
}

std::vector<ports::Walk> SimJournal::open_walks() {
  return m_world.call("journal open walks", [&] {
    std::vector<ports::Walk> open;
    std::copy_if(m_world.walks.begin(), m_world.walks.end(), std::back_inserter(open),
                 [](const ports::Walk& walk) { return walk.state == "open"; });
    return open;
  });
}

std::vector<ports::Walk> SimJournal::walks(const model::Uuid& vm) {
  return m_world.call("journal walks", [&] {
    std::vector<ports::Walk> all;
    std::copy_if(m_world.walks.rbegin(), m_world.walks.rend(), std::back_inserter(all),
                 [&](const ports::Walk& walk) { return walk.uuid == vm; });
    return all;
  });
}

model::Epoch SimJournal::epoch(const model::Uuid& vm) {
  return m_world.call("journal epoch", [&] { return m_world.epochs[vm]; });
}

void SimJournal::raise_epoch(const model::Uuid& vm, model::Epoch epoch) {
  m_world.call("journal raise epoch", [&] {
    if (epoch <= m_world.epochs[vm]) throw base::Error(base::Kind::refused, "the epoch would not grow");
    const model::Epoch before = std::exchange(m_world.epochs[vm], epoch);
    m_world.written([world = &m_world, vm, before] { world->epochs[vm] = before; });
  });
}

void SimRegistry::put(const ports::ShadowRow& row) {
  m_world.call("registry put", [&] { m_world.registry[row.vm] = row; });
}

std::optional<ports::ShadowRow> SimRegistry::find(const model::VmName& vm) {
  return m_world.call("registry find", [&]() -> std::optional<ports::ShadowRow> {
    const auto it = m_world.registry.find(vm);
    if (it == m_world.registry.end()) return std::nullopt;
    return it->second;
  });
}

std::vector<ports::ShadowRow> SimRegistry::all() {
  return m_world.call("registry all", [&] {
    std::vector<ports::ShadowRow> rows;
    for (const auto& [vm, row] : m_world.registry) rows.push_back(row);
    return rows;
  });
}

void SimRegistry::remove(const model::Uuid& vm_uuid) {
  m_world.call("registry remove", [&] {
    std::erase_if(m_world.registry, [&](const auto& entry) { return entry.second.vm_uuid == vm_uuid; });
  });
}

std::unique_ptr<ports::Lease> SimLeases::acquire(const model::VmName& vm, base::Millis) {
  return m_world.call("lease", [&]() -> std::unique_ptr<ports::Lease> {
    if (m_world.leases.contains(vm)) throw base::Error(base::Kind::busy, "another run is on " + vm.get());
    m_world.leases.insert(vm);
    return std::make_unique<SimLease>(m_world, vm);
  });
}

void SimClock::pause(base::Millis most) {
  m_world.call("pause", [&] { m_world.time += most; });
}

ports::HookResult SimRedirector::redirect(const ports::Redirection& redirection) {
  return m_world.call("redirect " + m_name + (redirection.undo ? " undo" : ""), [&] {
    calls.push_back(redirection);
    if (on_call) on_call();
    if (calls.size() <= fails_at_first) return ports::HookResult{false, "not yet"};
    return answer;
  });
}

ports::HookResult SimFence::fence(const model::HostName& host) {
  return m_world.call("fence " + host.get(), [&] {
    if (answer.ok) m_world.cut_power(host);
    return answer;
  });
}

ports::HookResult SimProbe::check(const std::string&) {
  return m_world.call("probe", [&] { return answer; });
}

}  // namespace umbra::fakes
