// SPDX-License-Identifier: Apache-2.0
// Umbra dies, or a call fails, at every port call of a walk. After recovery one instance runs, no acknowledged write is
// lost, nothing is left over; at no moment do two run (the world checks at each event).
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using fakes::Fault;

namespace {

std::size_t calls_of(Way way) {
  fakes::SimWorld world = world_before(way);
  Run run(world);
  walk(run, way);
  return world.calls;
}

void recover_twice(fakes::SimWorld& world) {
  for (const bool first : {true, false}) {
    world.new_run();
    Run run(world);
    const auto recovered = recover(run.ports);
    if (!first) CHECK(recovered.empty());
    REQUIRE(untidy(world) == "");
  }
}

/// After all that, the VM can still be switched over, from wherever it runs.
void walk_again(fakes::SimWorld& world) {
  world.new_run();
  Run run(world);
  const bool on_alpha = world.running_on(web1).front() == alpha;
  switch_over(run.ports, on_alpha ? request_for(alpha, beta) : request_for(beta, alpha));
  REQUIRE(untidy(world) == "");
}

void guarded(const std::function<void()>& scenario) {
  try {
    scenario();
  } catch (const fakes::SimViolation& violation) {
    FAIL("violated: " << violation.what);
  } catch (const base::Error& e) {
    FAIL("error: " << e.what());
  }
}

}  // namespace

TEST_CASE("Umbra may die at any call of a walk") {
  const Way way = GENERATE(Way::there, Way::back);
  const Fault::When when = GENERATE(Fault::When::before, Fault::When::after);
  const std::size_t calls = calls_of(way);
  REQUIRE(calls > 60);
  for (std::size_t at = 1; at <= calls; ++at) {
    fakes::SimWorld world = world_before(way);
    world.fault = Fault{Fault::Kind::crash, when, at};
    guarded([&] {
      {
        Run run(world);
        CHECK_THROWS_AS(walk(run, way), fakes::SimCrash);
      }
      INFO("died " << (when == Fault::When::before ? "before" : "after") << " call " << at << ": "
                   << world.trace.back());
      recover_twice(world);
      walk_again(world);
    });
  }
}

TEST_CASE("a failure of any call of a walk leaves one instance and nothing behind") {
  const Way way = GENERATE(Way::there, Way::back);
  const Fault::When when = GENERATE(Fault::When::before, Fault::When::after);
  const std::size_t calls = calls_of(way);
  std::size_t taken_back = 0;
  std::size_t interrupted = 0;
  for (std::size_t at = 1; at <= calls; ++at) {
    fakes::SimWorld world = world_before(way);
    world.fault = Fault{Fault::Kind::error, when, at};
    guarded([&] {
      std::string struck;
      try {
        Run run(world);
        walk(run, way);
      } catch (const base::Error& e) {
        struck = e.what();
        if (e.kind() == base::Kind::interrupted) {
          ++interrupted;
          CHECK(e.hint() == "umbra switchover --recover web1");
        } else {
          ++taken_back;
          CHECK_FALSE(any_open(world));
        }
      }
      INFO("call " << at << " failed: " << struck);
      if (any_open(world)) recover_twice(world);
      REQUIRE(untidy(world) == "");
      walk_again(world);
    });
  }
  CHECK(taken_back > 20);
  CHECK(interrupted > 5);
}

TEST_CASE("recovery may die at any of its calls, too") {
  // Each walk is cut at a call where much is left to do: before the move, during it, after it.
  const std::string where =
      GENERATE("journal finish intent", "alpha begin move", "journal raise epoch", "alpha undefine");
  for (std::size_t second = 1;; ++second) {
    fakes::SimWorld world = world_before(Way::there);
    bool recovered = false;
    guarded([&] {
      {
        fakes::SimWorld rehearsal = world;
        Run run(rehearsal);
        walk(run, Way::there);
        const auto call = std::find(rehearsal.trace.begin(), rehearsal.trace.end(), where);
        REQUIRE(call != rehearsal.trace.end());
        world.fault =
            Fault{Fault::Kind::crash, Fault::When::after, static_cast<std::size_t>(call - rehearsal.trace.begin()) + 1};
      }
      {
        Run run(world);
        CHECK_THROWS_AS(walk(run, Way::there), fakes::SimCrash);
      }
      world.new_run();
      world.fault =
          Fault{Fault::Kind::crash, second % 2 == 0 ? Fault::When::before : Fault::When::after, (second + 1) / 2};
      try {
        Run run(world);
        recover(run.ports);
        recovered = true;
      } catch (const fakes::SimCrash&) {
      }
      INFO("recovery from " << where << " died at call " << (second + 1) / 2);
      recover_twice(world);
    });
    if (recovered) break;
    REQUIRE(second < 1000);
  }
}

TEST_CASE("a guest that ended on the source in the middle of a walk runs there again, with all that it wrote") {
  fakes::SimWorld world = make_world();
  guarded([&] {
    fakes::SimWorld rehearsal = world;
    Run dry(rehearsal);
    walk(dry, Way::there);
    const auto call = std::find(rehearsal.trace.begin(), rehearsal.trace.end(), "journal prepare done");
    world.fault =
        Fault{Fault::Kind::crash, Fault::When::after, static_cast<std::size_t>(call - rehearsal.trace.begin()) + 1};
    {
      Run run(world);
      CHECK_THROWS_AS(walk(run, Way::there), fakes::SimCrash);
    }
    world.hosts.at(alpha).domains.at(web1).live.reset();
    world.new_run();
    SECTION("at once") {}
    SECTION("but not while it is up on the target, started there by hand") {
      model::Domain by_hand = world.hosts.at(beta).domains.at(web1).defined.value();
      by_hand.state = model::DomainState::paused;
      world.hosts.at(beta).domains.at(web1).live = by_hand;
      {
        Run run(world);
        CHECK(test::kind_of([&] { recover(run.ports); }) == base::Kind::interrupted);
      }
      CHECK(world.running_on(web1).empty());
      world.hosts.at(beta).domains.at(web1).live.reset();
    }
    SECTION("nor while the target gives no answer") {
      world.hosts.at(beta).reachable = false;
      {
        Run run(world);
        CHECK(test::kind_of([&] { recover(run.ports); }) == base::Kind::interrupted);
      }
      CHECK(world.running_on(web1).empty());
      world.hosts.at(beta).reachable = true;
    }
    recover_twice(world);
    CHECK(world.running_on(web1) == std::vector{alpha});
  });
}

TEST_CASE("a guest that ended on the target after the move runs there again, with all that it wrote") {
  fakes::SimWorld world = make_world();
  guarded([&] {
    die_after(world, "journal redirect intent");
    REQUIRE(world.running_on(web1) == std::vector{beta});
    world.hosts.at(beta).domains.at(web1).live.reset();  // as with its host
    world.new_run();
    {
      Run run(world);
      const auto recovered = recover(run.ports, web1);
      REQUIRE(recovered.size() == 1);
      CHECK(recovered[0].did ==
            "the walk of web1 to beta was finished, it had ended on beta meanwhile and was started there anew");
    }
    CHECK(world.running_on(web1) == std::vector{beta});
    REQUIRE(untidy(world) == "");
    walk_again(world);
  });
}

TEST_CASE("a guest that stands still on the source, as by an error of its storage, was not moved") {
  fakes::SimWorld world = make_world();
  guarded([&] {
    die_after(world, "journal move intent");
    world.hosts.at(alpha).domains.at(web1).live->state = model::DomainState::paused;
    world.new_run();
    Run run(world);
    const auto recovered = recover(run.ports, web1);
    REQUIRE(recovered.size() == 1);
    CHECK_THAT(recovered[0].did, Catch::Contains("was taken back, it is paused on alpha; to let it go on: ") &&
                                     Catch::Contains("resume web1"));
    CHECK(world.hosts.at(alpha).domains.at(web1).live->state == model::DomainState::paused);
    CHECK_FALSE(world.hosts.at(beta).domains.at(web1).live);
  });
}

TEST_CASE("a guest that stands still on the source after it had arrived on the target goes on there") {
  fakes::SimWorld world = make_world();
  die_after(world, "alpha begin move");
  // The migration ends, and its end is not heard of on the source.
  while (world.migration->state == ports::MoveProgress::State::running && !world.migration->stopped) world.event();
  world.link.arrives_unheard = true;
  guarded([&] {
    world.stop_libvirtd(alpha, 1);
    world.event();
    REQUIRE(world.hosts.at(alpha).domains.at(web1).live->state == model::DomainState::paused);
    SECTION("where it is up") {}
    SECTION("where it has ended there, too") {
      world.hosts.at(beta).domains.at(web1).live.reset();
    }
    recover_twice(world);
    CHECK(world.running_on(web1) == std::vector{beta});
    CHECK_FALSE(world.hosts.at(alpha).domains.at(web1).live);
    walk_again(world);
  });
}

TEST_CASE("recovery says what it found and what it did") {
  fakes::SimWorld world = make_world();
  std::size_t freeze_call = 0;
  {
    fakes::SimWorld rehearsal = world;
    Run run(rehearsal);
    walk(run, Way::there);
    const auto call = std::find(rehearsal.trace.begin(), rehearsal.trace.end(), "alpha freeze");
    freeze_call = static_cast<std::size_t>(call - rehearsal.trace.begin()) + 1;
  }
  const Fault::When when = GENERATE(Fault::When::before, Fault::When::after);
  world.fault = Fault{Fault::Kind::crash, when, freeze_call};
  {
    Run run(world);
    CHECK_THROWS_AS(walk(run, Way::there), fakes::SimCrash);
  }
  world.new_run();
  Run run(world);
  // Until then every other walk is refused.
  try {
    switch_over(run.ports, request_for(alpha, beta));
    FAIL("a second walk was begun");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::interrupted);
    CHECK(e.hint() == "umbra switchover --recover web1");
  }
  const auto recovered = recover(run.ports, web1);
  REQUIRE(recovered.size() == 1);
  CHECK(recovered[0].found ==
        std::string("freeze was begun, ") + (when == Fault::When::before ? "it had not happened" : "it had happened"));
  CHECK(recovered[0].did == "the walk of web1 was taken back, it runs on alpha as before");
  CHECK(recovered[0].outcome.result == "recovered");
}
