// SPDX-License-Identifier: Apache-2.0
#pragma once
// Two simulated hosts, a guest that writes on alpha, its shadow on beta with two points, and runs of Umbra over them.

#include <functional>
#include <string>
#include <vector>

#include "fakes/sim_ports.hpp"
#include "switchover/switchover.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {

inline const model::VmName web1{"web1"};
inline const model::HostName alpha{"alpha"};
inline const model::HostName beta{"beta"};
inline const model::ShadowId shadow_id{"web1-0001"};

/// The ports of one process. Made anew after each crash.
class Run {
 public:
  explicit Run(fakes::SimWorld& world)
      : m_hypervisors(world),
        m_transport(world),
        m_journal(world),
        m_registry(world),
        m_leases(world),
        m_clock(world),
        balancer(world, "balancer"),
        routes(world, "routes"),
        probe(world),
        fence(world),
        ports{m_hypervisors, m_transport,          m_journal, m_registry, m_leases, m_clock,
              cancel,        {&balancer, &routes}, &probe,    &fence} {}
  Run(const Run&) = delete;

 private:
  fakes::SimHypervisors m_hypervisors;
  fakes::SimTransport m_transport;
  fakes::SimJournal m_journal;
  fakes::SimRegistry m_registry;
  fakes::SimLeases m_leases;
  fakes::SimClock m_clock;

 public:
  base::CancelToken cancel;
  fakes::SimRedirector balancer;
  fakes::SimRedirector routes;
  fakes::SimProbe probe;
  fakes::SimFence fence;
  Ports ports;
};

inline fakes::SimWorld make_world() {
  fakes::SimWorld world;
  world.add_host("alpha");
  world.add_host("beta");
  world.add_vm(web1, alpha, 2, 40);
  world.replicate(web1, alpha, beta, shadow_id);
  for (int i = 0; i < 5; ++i) world.event();
  world.replicate(web1, alpha, beta, shadow_id);
  for (int i = 0; i < 5; ++i) world.event();
  return world;
}

inline Request request_for(const model::HostName& from, const model::HostName& to) {
  Request request;
  request.vm = web1;
  request.from = {from, "sim://" + from.get(), {}};
  request.to = {to, "sim://" + to.get(), {}};
  request.shadow = shadow_id;
  request.record = R"({"schema":"umbra/1","vm":{"name":"web1"}})";
  return request;
}

/// What is wrong with a world in which no walk should be under way; empty where all is well.
std::string untidy(const fakes::SimWorld& world);

/// Somebody types `virsh start` on both hosts.
void start_on_both(fakes::SimWorld& world);

/// Everything that a refused walk must leave alone, as text.
std::string picture(const fakes::SimWorld& world);

}  // namespace umbra::switchover
