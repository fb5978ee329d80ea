// SPDX-License-Identifier: Apache-2.0
// Starts of simulated guests, from their disks or from memory: libvirt's hook is asked first, as in the world.
#include <fmt/core.h>

#include "fakes/sim_ports.hpp"
#include "switchover/start_rule.hpp"

namespace umbra::fakes {

using base::Error;
using base::Kind;
using model::DomainState;

std::optional<Error> SimWorld::objection_to_start(const model::HostName& on, const model::Domain& starting) const {
  if (!hosts.at(on).start_hook) return std::nullopt;
  std::vector<switchover::Elsewhere> others;
  for (const auto& [name, other] : hosts) {
    if (name == on) continue;
    switchover::Elsewhere& answer = others.emplace_back();
    answer.host = name;
    if (!other.reachable || link.is_cut) {
      answer.silence = "no answer";
    } else if (const auto there = other.domains.find(starting.name); there != other.domains.end()) {
      answer.domain = there->second.live ? there->second.live : there->second.defined;
    }
  }
  return switchover::objection_to_start(starting, others);
}

void SimHypervisor::start(const model::VmName& vm) {
  call("start", [&] {
    SimDomain& found = domain(vm);
    if (found.live || !found.defined) throw Error(Kind::refused, "it can't be started");
    if (const auto objection = m_world.objection_to_start(m_name, *found.defined)) throw Error(*objection);
    found.live = found.defined;
    found.live->state = DomainState::running;
    found.live->postcopy = model::Postcopy::none;
  });
}

/// What was in the guest's memory is of its disks at that instant: over others it would corrupt them.
void SimHypervisor::restore(const model::VmName& vm, const ports::ResumeRequest& request) {
  call("restore", [&] {
    SimDomain& found = domain(vm);
    if (found.live || !found.defined) throw Error(Kind::refused, "it can't be resumed");
    const auto memory = at().memories.find(request.memory_file);
    if (memory == at().memories.end()) throw Error(Kind::not_found, "no file " + request.memory_file);
    model::Domain resumed = *found.defined;
    for (model::Disk& disk : resumed.disks) disk.path = request.disk_paths.at(disk.name);
    if (const auto objection = m_world.objection_to_start(m_name, resumed)) throw Error(*objection);
    if (memory->second.damaged) throw Error(Kind::io, "the memory image is damaged");
    for (const model::Disk& disk : resumed.disks) {
      for (std::uint64_t block = 0; block < model::blocks_in(disk.size); ++block) {
        const auto& then = memory->second.disks.at(disk.name);
        const auto number = then.find(block);
        if (SimWorld::read(at(), disk.path, block) != (number == then.end() ? 0 : number->second))
          SimWorld::violation(fmt::format("{} was resumed from memory over newer disks", vm.get()));
      }
    }
    resumed.state = DomainState::running;
    found.live = resumed;
  });
}

}  // namespace umbra::fakes
