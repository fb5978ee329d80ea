// SPDX-License-Identifier: Apache-2.0
#include "matrix.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>

namespace umbra::switchover {

bool any_open(const fakes::SimWorld& world) {
  return std::ranges::any_of(world.walks, [](const ports::Walk& w) { return w.state == "open"; });
}

namespace {

using fakes::Fault;
using fakes::SimWorld;

/// So many events pass before what was down is up again: within a walk's patience, and beyond all of it.
constexpr unsigned soon = 40;
constexpr unsigned late = 100'000;

model::HostName source_of(Way way) {
  return way == Way::back ? beta : alpha;
}
model::HostName target_of(Way way) {
  return way == Way::back ? alpha : beta;
}

void strike(SimWorld& world, Way way, Victim victim, unsigned down_for) {
  const model::HostName source = source_of(way);
  const model::HostName target = target_of(way);
  switch (victim) {
    case Victim::umbra:
      return;  // by the fault itself
    case Victim::source_qemu:
      return world.kill_qemu(source, web1);
    case Victim::source_libvirtd:
      return world.stop_libvirtd(source, down_for);
    case Victim::target_libvirtd:
      return world.stop_libvirtd(target, down_for);
    case Victim::source_host:
      return world.crash_host(source, down_for);
    case Victim::target_host:
      return world.crash_host(target, down_for);
  }
}

void strike_link(SimWorld& world, Link link) {
  if (link != Link::up) world.cut_link(link == Link::cut ? 0 : soon);
}

/// One run of recovery; false where it gave up, as it may while not everything answers.
bool try_to_recover(SimWorld& world, const std::optional<Fault>& fault = std::nullopt) {
  world.new_run();
  world.fault = fault;
  try {
    Run run(world);
    recover(run.ports);
    return true;
  } catch (const base::Error& e) {
    if (std::getenv("UMBRA_SIM_SEED") != nullptr) std::fprintf(stderr, "%s\n", e.what());
    return false;
  } catch (const fakes::SimCrash&) {
    return false;
  }
}

/// Where nothing runs, the guest itself had ended: whoever starts it by hand can do so on one host, its own.
std::string start_by_hand(SimWorld& world) {
  if (!world.running_on(web1).empty()) return {};
  unsigned started = 0;
  for (const model::HostName& host : {alpha, beta}) {
    world.new_run();
    fakes::SimHypervisors hypervisors(world);
    try {
      hypervisors.at(host).start(web1);
      ++started;
    } catch (const base::Error&) {
      // Its hook says no.
    }
  }
  return started == 1 ? "" : fmt::format("it can be started on {} hosts", started);
}

/// While a walk is open, somebody types `virsh start` wherever it is off.
void start_everywhere(SimWorld& world) {
  world.new_run();
  start_on_both(world);
}

/// With everything answering again: recovered at once, twice the same, tidy, and good for another walk and back.
std::string in_order(SimWorld& world) {
  world.heal();
  world.link.converges_at = base::Millis{0};
  if (any_open(world)) start_everywhere(world);
  for (int tries = 0; any_open(world) && tries < 3; ++tries) try_to_recover(world);
  if (any_open(world)) return "recovery does not end";
  const std::string before = picture(world);
  if (!try_to_recover(world)) return "a second recovery fails";
  if (picture(world) != before) return "a second recovery changes something";
  if (std::string wrong = start_by_hand(world); !wrong.empty()) return wrong;
  if (std::string wrong = untidy(world); !wrong.empty()) return wrong;
  for (int walks = 0; walks < 2; ++walks) {
    world.new_run();
    Run run(world);
    const bool on_alpha = world.running_on(web1).front() == alpha;
    if (walks == 0)
      switch_over(run.ports, on_alpha ? request_for(alpha, beta) : request_for(beta, alpha));
    else
      roll_back(run.ports, on_alpha ? request_for(alpha, beta) : request_for(beta, alpha));
    if (std::string wrong = untidy(world); !wrong.empty()) return fmt::format("after walk {}: {}", walks + 1, wrong);
  }
  return {};
}

std::string guarded(const std::function<std::string()>& what) {
  try {
    return what();
  } catch (const fakes::SimViolation& violation) {
    return violation.what;
  } catch (const base::Error& e) {
    return fmt::format("error: {}", e.what());
  }
}

/// The walk until it ends, however it does.
void run_walk(SimWorld& world, Way way) {
  try {
    Run run(world);
    walk(run, way);
  } catch (const base::Error&) {
  } catch (const fakes::SimCrash&) {
  }
}

}  // namespace

std::string_view to_string(Victim victim) {
  constexpr std::array<std::string_view, 6> names{"umbra",           "source QEMU", "source libvirtd",
                                                  "target libvirtd", "source host", "target host"};
  return names[static_cast<std::size_t>(victim)];
}

std::string_view to_string(Link link) {
  constexpr std::array<std::string_view, 3> names{"up", "cut", "cut, then healed"};
  return names[static_cast<std::size_t>(link)];
}

std::string Case::to_string() const {
  constexpr std::array<std::string_view, 3> moments{"before", "written, not synced", "after"};
  return fmt::format("{} {} (call {}), {} struck, link {}, on the way {}", moments[static_cast<std::size_t>(when)],
                     call, at, switchover::to_string(victim), switchover::to_string(link),
                     std::array{"there", "back", "there by post-copy"}[static_cast<std::size_t>(way)]);
}

SimWorld world_before(Way way) {
  SimWorld world = make_world();
  for (auto& [name, host] : world.hosts) {
    if (host.domains.contains(web1) && host.domains.at(web1).live) {
      host.domains.at(web1).defined->autostart = true;
      host.domains.at(web1).live->autostart = true;
    }
  }
  if (way == Way::back) {
    Run run(world);
    switch_over(run.ports, request_for(alpha, beta));
    for (int i = 0; i < 3; ++i) world.event();
    world.new_run();
  }
  if (way == Way::by_postcopy) world.link.converges_at = base::Millis{900};
  return world;
}

void walk(Run& run, Way way) {
  if (way == Way::back) {
    roll_back(run.ports, request_for(beta, alpha));
    return;
  }
  Request request = request_for(alpha, beta);
  if (way == Way::by_postcopy) {
    request.policy.postcopy = true;
    request.policy.downtime_limit = base::Millis{1};  // there is nothing to raise: post-copy comes soon
  }
  switch_over(run.ports, request);
}

void die_after(SimWorld& world, const std::string& call) {
  SimWorld rehearsal = world;
  Run dry(rehearsal);
  walk(dry, Way::there);
  const auto at = std::ranges::find(rehearsal.trace, call);
  if (at == rehearsal.trace.end()) throw std::logic_error("no walk calls " + call);
  world.fault =
      Fault{Fault::Kind::crash, Fault::When::after, static_cast<std::size_t>(at - rehearsal.trace.begin()) + 1, {}};
  try {
    Run run(world);
    walk(run, Way::there);
  } catch (const fakes::SimCrash&) {
    return;
  }
  throw std::logic_error("Umbra lived on after " + call);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Way way : all_ways) {
    SimWorld rehearsal = world_before(way);
    Run run(rehearsal);
    walk(run, way);
    for (std::size_t i = 0; i < rehearsal.trace.size(); ++i) {
      const std::string& call = rehearsal.trace[i];
      const bool writes = call.starts_with("journal ") &&
                          (call.ends_with(" intent") || call.ends_with(" done") || call == "journal open" ||
                           call == "journal close" || call == "journal raise epoch");
      if (!writes) continue;
      for (const auto when : {Fault::When::before, Fault::When::unsynced, Fault::When::after}) {
        for (const Victim victim : all_victims) {
          for (const Link link : all_links) cases.push_back({way, call, i + 1, when, victim, link});
        }
      }
    }
  }
  return cases;
}

std::string verdict_of(Way way, const Fault& fault, const std::function<void(SimWorld&)>& arrange) {
  return guarded([&]() -> std::string {
    SimWorld world = world_before(way);
    if (arrange) arrange(world);
    world.fault = fault;
    run_walk(world, way);
    if (any_open(world)) try_to_recover(world);  // while what was struck is down
    return in_order(world);
  });
}

std::string verdict_of(const Case& one, const std::function<void(SimWorld&)>& arrange) {
  Fault fault{one.victim == Victim::umbra ? Fault::Kind::crash : Fault::Kind::blow, one.when, one.at, {}};
  fault.blow = [&](SimWorld& struck) {
    strike(struck, one.way, one.victim, late);
    strike_link(struck, one.link);
  };
  return verdict_of(one.way, fault, arrange);
}

std::string verdict_of_seed(std::uint64_t seed) {
  return guarded([&]() -> std::string {
    std::mt19937_64 random(seed);
    const auto below = [&](std::size_t most) { return static_cast<std::size_t>(random() % most); };
    const Way way = all_ways[below(all_ways.size())];
    SimWorld world = world_before(way);
    world.link.handed_over = below(2) == 0;
    world.link.persists = below(3) == 0;
    world.link.arrives_unheard = below(2) == 0;
    world.link.stands_for = static_cast<unsigned>(1 + below(6));
    const auto any_fault = [&](std::size_t calls) {
      const Victim victim = all_victims[below(all_victims.size())];
      const Link link = all_links[below(all_links.size())];
      const unsigned down_for = below(2) == 0 ? soon : late;
      constexpr std::array kinds{Fault::Kind::crash, Fault::Kind::error, Fault::Kind::blow, Fault::Kind::blow};
      Fault fault{kinds[below(kinds.size())], static_cast<Fault::When>(below(3)), 1 + below(calls), {}};
      const std::size_t whom = below(6);
      fault.blow = [=](SimWorld& struck) {
        if (whom < 2) return struck.isolate(whom == 0 ? source_of(way) : target_of(way), down_for);
        strike(struck, way, victim, down_for);
        strike_link(struck, link);
      };
      return fault;
    };
    world.fault = any_fault(130);
    run_walk(world, way);
    for (std::size_t i = below(4); i > 0; --i) try_to_recover(world, any_fault(60));
    return in_order(world);
  });
}

}  // namespace umbra::switchover
