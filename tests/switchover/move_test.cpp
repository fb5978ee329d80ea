// SPDX-License-Identifier: Apache-2.0
// The move: a migration that fails, does not converge, is stopped, or leaves no clear picture.
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using test::kind_of;

TEST_CASE("a migration that fails leaves the guest where it was, and nothing behind") {
  fakes::SimWorld world = make_world();
  SECTION("while it copies") {
    world.link.fails_early = true;
  }
  SECTION("while both sides stand paused") {
    world.link.fails_late = true;
    world.link.stands_for = 40;
  }
  Run run(world);
  CHECK(kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::io);
  CHECK(world.running_on(web1) == std::vector{alpha});
  CHECK(untidy(world) == "");
  // The epoch that was proposed is not raised, and never proposed again.
  CHECK(world.epochs.at(model::Uuid("00000000-0000-4000-8000-000000000001")).value == 0);
  world.link = {};
  world.new_run();
  CHECK(switch_over(run.ports, request_for(alpha, beta)).epoch.value == 2);
  CHECK(untidy(world) == "");
}

TEST_CASE("a guest that needs more blackout gets it in steps up to the limit") {
  fakes::SimWorld world = make_world();
  world.link.converges_at = base::Millis{300};
  Run run(world);
  CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
  CHECK(std::count(world.trace.begin(), world.trace.end(), "move limit") >= 2);
  CHECK(world.migration->request.downtime_limit == base::Millis{300});
}

TEST_CASE("a guest that does not converge within the limit stays, with what would help") {
  fakes::SimWorld world = make_world();
  world.link.converges_at = base::Millis{900};
  Run run(world);
  try {
    switch_over(run.ports, request_for(alpha, beta));
    FAIL("it converged");
  } catch (const base::Error& e) {
    CHECK(e.kind() == Kind::timeout);
    CHECK(e.hint().find("downtime_limit") != std::string::npos);
  }
  CHECK(world.running_on(web1) == std::vector{alpha});
  CHECK(untidy(world) == "");
}

TEST_CASE("a stop that is asked for before the move takes everything back") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.cancel.request(15);
  CHECK(kind_of([&] { switch_over(run.ports, request_for(alpha, beta)); }) == Kind::cancelled);
  CHECK(untidy(world) == "");
}

TEST_CASE("where both hosts stay unclear the answer is a refusal, and the walk stays open") {
  fakes::SimWorld world = make_world();
  world.link.stands_for = 100'000;
  {
    // Umbra dies while both sides stand paused.
    world.fault = fakes::Fault{fakes::Fault::Kind::crash, fakes::Fault::When::after, 0};
    Run run(world);
    world.fault->at = 100;
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), fakes::SimCrash);
    REQUIRE(world.migration);
  }
  world.new_run();
  Run run(world);
  const base::Millis began = run.ports.clock.steady();
  CHECK(kind_of([&] { recover(run.ports); }) == Kind::interrupted);
  CHECK(run.ports.clock.steady() - began > base::Millis{60'000});
  CHECK(world.walks.back().state == "open");
  {
    // Nor does it hold up whoever asks for a stop.
    Run stopped(world);
    stopped.cancel.request(2);
    const base::Millis again = stopped.ports.clock.steady();
    CHECK(kind_of([&] { recover(stopped.ports); }) == Kind::interrupted);
    CHECK(stopped.ports.clock.steady() - again < base::Millis{15'000});
    CHECK(world.walks.back().state == "open");
  }
  // The link heals; the same command goes on.
  world.migration->rounds = 1;
  world.event();
  world.event();
  CHECK(recover(run.ports).size() == 1);
  CHECK(world.running_on(web1) == std::vector{beta});
  CHECK(untidy(world) == "");
}
