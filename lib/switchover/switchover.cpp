// SPDX-License-Identifier: Apache-2.0
#include "switchover/switchover.hpp"

#include <fmt/core.h>

#include "switchover/processes.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

/// A run that finds the VM's lease taken gives up at once: the other run is on it.
constexpr base::Millis no_wait{0};

}  // namespace

Side side_of(const model::HostConfig& host) {
  return {host.name, host.peer_uri.empty() ? host.uri : host.peer_uri, host.networks};
}

model::Outcome switch_over(const Ports& ports, const Request& request) {
  const auto lease = ports.leases.acquire(request.vm, no_wait);
  model::Outcome outcome = walk_through(ports, request, "switchover", live_steps());
  if (outcome.host != request.to.host) return outcome;
  if (auto note = compare_processes(ports, request)) outcome.notes.push_back(std::move(*note));
  return outcome;
}

model::Outcome roll_back(const Ports& ports, const Request& request) {
  const auto lease = ports.leases.acquire(request.vm, no_wait);
  return walk_through(ports, request, "rollback", live_steps());
}

}  // namespace umbra::switchover
