// SPDX-License-Identifier: Apache-2.0
// Where the guest is, of pictures that look alike: what proves nothing moves nothing, and deletes nothing.
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using Catch::Contains;
using fakes::Fault;
using fakes::SimWorld;
using model::DomainState;

namespace {

fakes::SimDomain& web1_on(SimWorld& world, const model::HostName& host) {
  return world.hosts.at(host).domains.at(web1);
}

/// Recovery gives up, with this hint, and deletes no layer.
void check_refused(SimWorld& world, const std::string& hint) {
  const std::size_t files = world.hosts.at(alpha).files.size() + world.hosts.at(beta).files.size();
  world.new_run();
  Run run(world);
  const base::Error error = test::error_of([&] { recover(run.ports); });
  CHECK(error.kind() == Kind::interrupted);
  CHECK_THAT(error.hint(), Contains(hint));
  CHECK(any_open(world));
  CHECK(world.hosts.at(alpha).files.size() + world.hosts.at(beta).files.size() == files);
}

void check_recovered(SimWorld& world, const model::HostName& on) {
  world.new_run();
  Run run(world);
  CHECK(recover(run.ports).size() == 1);
  CHECK(world.running_on(web1) == std::vector{on});
  CHECK(untidy(world) == "");
}

void by_hand(SimWorld& world, const model::HostName& host, void (ports::Hypervisor::*act)(const model::VmName&)) {
  world.new_run();
  fakes::SimHypervisors hypervisors(world);
  (hypervisors.at(host).*act)(web1);
}

/// A walk of which Umbra died, and whose migration went on to its end.
SimWorld ended_without_umbra(const std::function<void(SimWorld&)>& arrange) {
  SimWorld world = world_before(Way::there);
  die_after(world, "alpha begin move");
  arrange(world);
  while (world.migration->state == ports::MoveProgress::State::running && !world.migration->given_up) world.event();
  return world;
}

/// The same, with the target's answer lost: the guest ran there, and stands on the source.
SimWorld ran_there_unheard() {
  SimWorld world = world_before(Way::there);
  die_after(world, "alpha begin move");
  while (!world.migration->stopped) world.event();
  world.link.arrives_unheard = true;
  world.stop_libvirtd(alpha, 1);
  for (int i = 0; i < 5; ++i) world.event();
  REQUIRE(world.running_on(web1) == std::vector{beta});
  return world;
}

}  // namespace

TEST_CASE("what a migration is yet to bring is not taken for the guest, though that has ended on the source") {
  SimWorld world = world_before(Way::there);
  die_after(world, "alpha begin move");
  web1_on(world, alpha).live.reset();
  world.migration.reset();
  REQUIRE(web1_on(world, beta).live);
  web1_on(world, beta).live->job = false;  // libvirt tells of none there
  check_refused(world, "virsh -c sim://beta destroy web1");
  web1_on(world, beta).live.reset();
  check_recovered(world, alpha);
}

TEST_CASE("a guest in post-copy is seen on the target at once: nothing is asked that libvirt answers later") {
  SimWorld world = make_world();
  world.link.converges_at = base::Millis{900};
  Request request = request_for(alpha, beta);
  request.policy.postcopy = true;
  const auto call = [&](const std::string& name) {
    SimWorld rehearsal = world;
    Run run(rehearsal);
    switch_over(run.ports, request);
    const auto at = std::ranges::find(rehearsal.trace, name);
    REQUIRE(at != rehearsal.trace.end());
    return static_cast<std::size_t>(at - rehearsal.trace.begin()) + 1;
  };
  const auto time_at = [&](const std::string& name) {
    base::Millis time{0};
    SimWorld timed = world;
    timed.fault =
        Fault{Fault::Kind::blow, Fault::When::after, call(name), [&](SimWorld& struck) { time = struck.time; }};
    Run run(timed);
    switch_over(run.ports, request);
    return time;
  };
  CHECK(time_at("redirect balancer") - time_at("move postcopy") < base::Millis{5'000});
}

TEST_CASE("a start that fails where the guest had run is not taken for the move's own failure") {
  SimWorld world = ran_there_unheard();
  web1_on(world, beta).live.reset();
  web1_on(world, beta).defined->start_failed = true;
  SECTION("with its half on the source") {
    REQUIRE(web1_on(world, alpha).live->state == DomainState::paused);
  }
  SECTION("with that half gone, too") {
    world.migration.reset();
    web1_on(world, alpha).live.reset();
  }
  check_refused(world, "virsh -c sim://beta start web1");
  web1_on(world, beta).defined->start_failed = false;
  by_hand(world, beta, &ports::Hypervisor::start);
  check_recovered(world, beta);
}

TEST_CASE("a move that failed at the target's start while nobody watched is told from one that ran by who looks") {
  SimWorld world = ended_without_umbra([](SimWorld& w) { w.link.fails_at_start = true; });
  REQUIRE(world.running_on(web1).empty());
  check_refused(world, "where it has not: virsh -c sim://beta undefine --keep-nvram");
  by_hand(world, beta, &ports::Hypervisor::undefine);
  check_recovered(world, alpha);
  CHECK(std::ranges::count(world.trace, "alpha resume") == 1);
  CHECK(std::ranges::count(world.trace, "alpha start") == 0);
}

TEST_CASE("a guest that went on on the source, and stands there since, is no half to be ended") {
  SimWorld world = ended_without_umbra([](SimWorld& w) {
    w.link.fails_at_start = true;
    w.guard_holds = false;
  });
  REQUIRE(world.running_on(web1) == std::vector{alpha});
  for (int i = 0; i < 20; ++i) world.event();
  web1_on(world, alpha).live->state = DomainState::paused;  // its storage, say
  web1_on(world, beta).defined->start_failed = false;       // libvirt there was restarted since
  check_refused(world, "where it has not: virsh -c sim://beta undefine --keep-nvram");
  REQUIRE(web1_on(world, alpha).live);
  // What was written here since is not there: the world is not to look at it.
  fakes::SimGuest told;
  told.idle = true;
  std::swap(told, world.guests.at(web1));
  by_hand(world, beta, &ports::Hypervisor::start);
  check_refused(world, "where it has not gone on on alpha since it left");
  REQUIRE(web1_on(world, alpha).live);
  web1_on(world, beta).live.reset();
  std::swap(told, world.guests.at(web1));
  by_hand(world, alpha, &ports::Hypervisor::resume);
  check_recovered(world, alpha);
}

TEST_CASE("a move that was taken back is asked of again before a layer is dropped or folded") {
  SimWorld world = world_before(Way::there);
  world.link.fails_at_start = true;
  const std::string died_at = GENERATE("alpha resume", "journal move undone");
  {
    SimWorld rehearsal = world;
    Run run(rehearsal);
    CHECK(test::kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::io);
    const auto call = std::ranges::find(rehearsal.trace, died_at);
    REQUIRE(call != rehearsal.trace.end());
    const auto when = died_at == "alpha resume" ? Fault::When::before : Fault::When::after;
    world.fault = Fault{Fault::Kind::crash, when, static_cast<std::size_t>(call - rehearsal.trace.begin()) + 1, {}};
    Run struck(world);
    CHECK_THROWS_AS(switch_over(struck.ports, request_for(alpha, beta)), fakes::SimCrash);
  }
  const bool went_on = died_at != "alpha resume";
  REQUIRE(world.running_on(web1).empty() != went_on);
  SECTION("nobody was there: it is taken back to its end") {
    check_recovered(world, alpha);
  }
  SECTION("it was begun on the target by hand, and stands there") {
    auto& there = web1_on(world, beta);
    there.live = there.defined;
    there.live->state = DomainState::paused;
    check_refused(world, "virsh -c sim://beta destroy web1");
    there.live.reset();
    check_recovered(world, alpha);
  }
  SECTION("it ended on the source, and was started on the target by hand") {
    web1_on(world, alpha).live.reset();
    fakes::SimGuest told;
    told.idle = true;
    std::swap(told, world.guests.at(web1));  // what it wrote on the source is not there
    by_hand(world, beta, &ports::Hypervisor::start);
    check_refused(world, "it had not moved, and may have been started on beta since");
    web1_on(world, beta).live.reset();
    web1_on(world, beta).defined->start_failed = false;
    check_refused(world, "virsh -c sim://beta undefine --keep-nvram");
    by_hand(world, beta, &ports::Hypervisor::undefine);
    std::swap(told, world.guests.at(web1));
    check_recovered(world, alpha);
  }
  SECTION("... and what it wrote there is to be kept: it is undefined on the source") {
    web1_on(world, alpha).live.reset();
    world.guests.at(web1) = fakes::SimGuest{};  // what it wrote on the source is not there
    by_hand(world, beta, &ports::Hypervisor::start);
    check_refused(world, "virsh -c sim://alpha undefine --keep-nvram");
    const bool ended_there = GENERATE(false, true);
    if (ended_there) {
      web1_on(world, beta).live.reset();
      web1_on(world, beta).defined->start_failed = false;
      check_refused(world, "virsh -c sim://alpha undefine --keep-nvram");
    }
    by_hand(world, alpha, &ports::Hypervisor::undefine);
    check_recovered(world, beta);
  }
  SECTION("it was started on the target by hand, before it was let go on on the source: then it has moved") {
    if (went_on) return;
    by_hand(world, beta, &ports::Hypervisor::start);
    check_recovered(world, beta);
  }
}
