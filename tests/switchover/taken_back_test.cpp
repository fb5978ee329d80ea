// SPDX-License-Identifier: Apache-2.0
// What a walk that fails at an unlucky moment leaves on either host: nothing.
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using fakes::Fault;
using fakes::SimWorld;
using model::DomainState;

namespace {

/// The first of that name.
Fault blow_at(const SimWorld& world, const std::string& call, Fault::When when, std::function<void(SimWorld&)> blow) {
  SimWorld rehearsal = world;
  {
    Run run(rehearsal);
    try {
      switch_over(run.ports, request_for(alpha, beta));
    } catch (const base::Error&) {  // its calls up to there, and those that take it back
    }
  }
  const auto at = std::ranges::find(rehearsal.trace, call);
  REQUIRE(at != rehearsal.trace.end());
  return {Fault::Kind::blow, when, static_cast<std::size_t>(at - rehearsal.trace.begin()) + 1, std::move(blow)};
}

model::Domain& guest_on(SimWorld& world, const model::HostName& host) {
  return *world.hosts.at(host).domains.at(web1).live;
}

void suspend(SimWorld& world) {
  guest_on(world, alpha).state = DomainState::paused;
}

}  // namespace

TEST_CASE("file systems that a dead libvirtd left frozen are thawed") {
  SimWorld world = make_world();
  world.guests.at(web1).has_agent = true;
  world.fault =
      blow_at(world, "alpha freeze", Fault::When::before, [](SimWorld& w) { w.stop_libvirtd(alpha, 10'000); });
  {
    Run run(world);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::interrupted);
  }
  REQUIRE(world.hosts.at(alpha).domains.at(web1).fs_frozen);
  world.heal();
  world.new_run();
  Run run(world);
  CHECK(recover(run.ports).size() == 1);
  CHECK_FALSE(world.hosts.at(alpha).domains.at(web1).fs_frozen);
  const std::uint64_t last = world.guests.at(web1).last;
  world.event();
  CHECK(world.guests.at(web1).last > last);
  CHECK(untidy(world) == "");
}

TEST_CASE("a target that can't start the guest's CPUs gets its stand-in back, and the next walk works") {
  SimWorld world = make_world();
  world.link.fails_at_start = true;
  const model::RoleTag tag = world.hosts.at(beta).domains.at(web1).defined->tag;
  {
    Run run(world);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::io);
  }
  CHECK(world.hosts.at(beta).domains.at(web1).defined->tag == tag);
  CHECK(untidy(world) == "");
  world.link.fails_at_start = false;
  world.new_run();
  Run run(world);
  CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
  CHECK(untidy(world) == "");
}

TEST_CASE("a guest whose layers can't be folded yet is the primary again, and may be started as that") {
  SimWorld world = make_world();
  const model::RoleTag tag = guest_on(world, alpha).tag;
  world.link.fails_at_start = true;
  world.fault = blow_at(world, "alpha fold", Fault::When::before, [](SimWorld& w) { guest_on(w, alpha).job = true; });
  {
    Run run(world);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::interrupted);
  }
  CHECK(guest_on(world, alpha).tag == tag);
  CHECK(world.hosts.at(alpha).domains.at(web1).defined->tag == tag);
  guest_on(world, alpha).job = false;
  world.new_run();
  Run run(world);
  CHECK(recover(run.ports).size() == 1);
  CHECK(guest_on(world, alpha).tag == tag);
  CHECK(untidy(world) == "");
}

TEST_CASE("a guest that is paused while its delta is sent is not moved, and told so") {
  SimWorld world = make_world();
  world.fault = blow_at(world, "journal finish done", Fault::When::after, suspend);
  Run run(world);
  const base::Error error = test::error_of([&] { switch_over(run.ports, request_for(alpha, beta)); });
  CHECK_THAT(error.what(), Catch::Contains("was paused on alpha meanwhile") && Catch::Contains("was taken back"));
  CHECK_THAT(error.hint(), Catch::Contains("resume web1"));
  CHECK(std::ranges::count(world.trace, "alpha begin move") == 0);
  guest_on(world, alpha).state = DomainState::running;
  CHECK(untidy(world) == "");
}

TEST_CASE("a guest that is paused while it moves has moved, and stands where it arrived") {
  SimWorld world = make_world();
  world.fault = blow_at(world, "move progress", Fault::When::after, suspend);
  Run run(world);
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
  CHECK(outcome.result == "switched");
  CHECK(outcome.host == beta);
  CHECK(guest_on(world, beta).state == DomainState::paused);
  CHECK(std::ranges::count(world.trace, "redirect balancer") == 1);
  guest_on(world, beta).state = DomainState::running;
  CHECK(untidy(world) == "");
}

TEST_CASE("one that stands on the target by hand is no proof, and the hint says what is") {
  SimWorld world = make_world();
  Fault fault = blow_at(world, "journal move intent", Fault::When::after, {});
  fault.kind = Fault::Kind::crash;
  world.fault = fault;
  {
    Run run(world);
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), fakes::SimCrash);
  }
  world.new_run();
  world.hosts.at(beta).domains.at(web1).live = world.hosts.at(beta).domains.at(web1).defined;
  guest_on(world, beta).state = DomainState::paused;
  const auto hint = [&] {
    world.new_run();
    Run run(world);
    const base::Error error = test::error_of([&] { recover(run.ports); });
    CHECK(error.kind() == Kind::interrupted);
    CHECK_THAT(error.hint(), Catch::Contains("umbra switchover --recover web1"));
    return error.hint();
  };
  suspend(world);
  CHECK_THAT(hint(),
             Catch::StartsWith(
                 "it is paused on both: virsh -c sim://beta destroy web1; then: umbra switchover --recover web1"));
  world.hosts.at(alpha).domains.at(web1).live.reset();
  CHECK_THAT(hint(), Catch::StartsWith("it was begun on beta by hand, and paused: virsh -c sim://beta destroy web1"));
  world.hosts.at(beta).reachable = false;
  CHECK_THAT(hint(), Catch::StartsWith("make both hosts answer"));
}

TEST_CASE("an old home whose disk is full makes room by the layers that it no longer needs") {
  SimWorld world = make_world();
  world.fault = blow_at(world, "alpha undefine", Fault::When::after, [](SimWorld& w) { w.hosts.at(alpha).free = {}; });
  Run run(world);
  CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
  CHECK(untidy(world) == "");
}
