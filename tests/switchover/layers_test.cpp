// SPDX-License-Identifier: Apache-2.0
// What the guest stands on belongs to one walk alone: others that put layers there, be it a backup tool or another
// Umbra, cost that walk, never a write.
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using fakes::Fault;
using fakes::SimWorld;

namespace {

std::vector<std::string> calls_of_a_walk() {
  SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  return world.trace;
}

std::size_t call_of(const std::string& name) {
  const std::vector<std::string> calls = calls_of_a_walk();
  const auto call = std::ranges::find(calls, name);
  REQUIRE(call != calls.end());
  return static_cast<std::size_t>(call - calls.begin()) + 1;
}

/// A blow upon each call of a walk; "" or the error with which that walk ended is given to `look`.
void strike_each_call(const std::function<void(SimWorld&)>& blow,
                      const std::function<void(SimWorld&, const std::string&)>& look) {
  const std::vector<std::string> calls = calls_of_a_walk();
  for (std::size_t at = 1; at <= calls.size(); ++at) {
    SimWorld world = make_world();
    world.fault = Fault{Fault::Kind::blow, Fault::When::before, at, blow};
    std::string error;
    INFO("struck at call " << at << ", " << calls[at - 1]);
    try {
      Run run(world);
      try {
        switch_over(run.ports, request_for(alpha, beta));
      } catch (const base::Error& e) {
        error = e.what();
      }
      INFO(error);
      look(world, error);
    } catch (const fakes::SimViolation& violation) {
      FAIL(violation.what);
    }
  }
}

/// What one control host knows.
struct State {
  std::vector<ports::Walk> walks;
  std::map<std::int64_t, std::vector<ports::JournalEntry>> entries;
  std::map<model::Uuid, model::Epoch> epochs;
  std::map<model::VmName, ports::ShadowRow> registry;
  std::set<model::VmName> leases;
};

void swap_state(SimWorld& world, State& other) {
  std::swap(world.walks, other.walks);
  std::swap(world.entries, other.entries);
  std::swap(world.epochs, other.epochs);
  std::swap(world.registry, other.registry);
  std::swap(world.leases, other.leases);
}

}  // namespace

TEST_CASE("a snapshot that somebody takes within a walk costs the walk, never a write") {
  unsigned refused = 0;
  unsigned switched = 0;
  strike_each_call([&](SimWorld& world) { world.put_layer(alpha, web1); },
                   [&](SimWorld& world, const std::string& error) {
                     ++(error.empty() ? switched : refused);
                     REQUIRE(world.running_on(web1) == std::vector{error.empty() ? beta : alpha});
                     REQUIRE_FALSE(any_open(world));
                     REQUIRE(world.leftovers().empty());
                     world.event();  // looks at every write
                   });
  CHECK(refused > 20);
  CHECK(switched > 20);
}

TEST_CASE("... and is named, with what to do") {
  SimWorld world = make_world();
  world.fault = Fault{Fault::Kind::blow, Fault::When::before, call_of("alpha begin move"),
                      [](SimWorld& w) { w.put_layer(alpha, web1); }};
  Run run(world);
  const base::Error error = test::error_of([&] { switch_over(run.ports, request_for(alpha, beta)); });
  CHECK_THAT(error.what(), Catch::Contains("disk vda of web1 stands on /images/nightly-vda.qcow2") &&
                               Catch::Contains("was taken back, it runs on alpha as before"));
  CHECK_THAT(error.hint(), Catch::Contains("umbra switchover web1"));
}

TEST_CASE("a guest that ended on a layer of somebody else's is started on it, and all is folded back") {
  SimWorld world = make_world();
  world.fault = Fault{Fault::Kind::crash, Fault::When::after, call_of("journal finish done")};
  {
    Run run(world);
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), fakes::SimCrash);
  }
  REQUIRE(world.put_layer(alpha, web1));
  world.event();
  world.kill_qemu(alpha, web1);
  world.new_run();
  Run run(world);
  CHECK(recover(run.ports).size() == 1);
  CHECK(untidy(world) == "");
  CHECK(world.running_on(web1) == std::vector{alpha});
}

TEST_CASE("another control host, with a state of its own, that switches the same VM over at the same time") {
  State other;
  other.registry = make_world().registry;
  std::string others_error;
  unsigned both_failed = 0;
  strike_each_call(
      [&](SimWorld& world) {
        swap_state(world, other);
        try {
          Run run(world);
          others_error.clear();
          switch_over(run.ports, request_for(alpha, beta));
        } catch (const base::Error& e) {
          others_error = e.what();
        }
        swap_state(world, other);
      },
      [&](SimWorld& world, const std::string& error) {
        INFO("the other: " << others_error);
        REQUIRE(world.running_on(web1).size() == 1);
        // Nobody may start it where it does not run.
        const model::HostName& idle = world.running_on(web1).front() == alpha ? beta : alpha;
        const model::Role role = world.hosts.at(idle).domains.at(web1).defined->tag.role;
        REQUIRE(role != model::Role::none);
        REQUIRE(role != model::Role::primary);
        const bool open =
            any_open(world) || std::ranges::any_of(other.walks, [](const auto& walk) { return walk.state == "open"; });
        REQUIRE_FALSE(open);
        if (!error.empty() && !others_error.empty()) ++both_failed;
        other = {};
        other.registry = make_world().registry;
        others_error.clear();
      });
  CHECK(both_failed == 0);
}
