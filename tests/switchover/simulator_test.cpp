// SPDX-License-Identifier: Apache-2.0
// The simulated world can fail: walks with a known fault are caught by it.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"
#include "switchover/request_json.hpp"

using namespace umbra;
using namespace umbra::switchover;

namespace {

Step& step(Steps& steps, const std::string& name) {
  for (auto* side : {&steps.before, &steps.after}) {
    for (Step& s : *side) {
      if (s.name == name) return s;
    }
  }
  throw std::logic_error("no step " + name);
}

/// What the world says of a walk with these steps: the violation, or what is untidy after it.
std::string verdict(const Steps& steps, const std::function<void(fakes::SimWorld&)>& arrange = {}) {
  fakes::SimWorld world = make_world();
  if (arrange) arrange(world);
  Run run(world);
  try {
    walk_through(run.ports, request_for(alpha, beta), "switchover", steps);
  } catch (const base::Error&) {
  } catch (const fakes::SimViolation& violation) {
    return violation.what;
  }
  return untidy(world);
}

/// The same with a death after the named call, and a recovery.
std::string verdict_after_death(const Steps& steps, const std::string& call) {
  fakes::SimWorld world = make_world();
  try {
    fakes::SimWorld rehearsal = world;
    {
      Run run(rehearsal);
      walk_through(run.ports, request_for(alpha, beta), "switchover", live_steps());
    }
    const auto at = std::find(rehearsal.trace.begin(), rehearsal.trace.end(), call);
    REQUIRE(at != rehearsal.trace.end());
    world.fault = fakes::Fault{fakes::Fault::Kind::crash, fakes::Fault::When::after,
                               static_cast<std::size_t>(at - rehearsal.trace.begin()) + 1};
    {
      Run run(world);
      CHECK_THROWS_AS(walk_through(run.ports, request_for(alpha, beta), "switchover", steps), fakes::SimCrash);
    }
    world.new_run();
    Run run(world);
    recover_walk(run.ports, world.walks.back(), steps);
  } catch (const fakes::SimViolation& violation) {
    return violation.what;
  } catch (const base::Error& e) {
    return e.what();
  }
  return untidy(world);
}

}  // namespace

TEST_CASE("the walk as it is passes where the broken ones below are caught") {
  CHECK(verdict(live_steps()) == "");
  CHECK(verdict_after_death(live_steps(), "alpha begin move") == "");
  CHECK(verdict_after_death(live_steps(), "alpha freeze") == "");
}

TEST_CASE("a top layer over a point without the last delta is caught as lost writes") {
  Steps steps = live_steps();
  step(steps, "prepare").act = [](Walk& walk) -> Json {
    const auto store = walk.ports().transport.connect(walk.row().to);
    return {{"top", paths_json(store->raise_top(walk.request().shadow, walk.facts().parent, walk.facts().purpose))}};
  };
  CHECK_THAT(verdict(steps), Catch::Contains("was acknowledged"));
}

TEST_CASE("a source that is started again after the move is caught as two running") {
  Steps steps = live_steps();
  step(steps, "retire").act = [](Walk& walk) -> Json {
    walk.source().start(walk.row().vm);
    return Json::object();
  };
  CHECK(verdict(steps, [](fakes::SimWorld& world) { world.hosts.at(alpha).start_hook = false; }) ==
        "web1 runs on 2 hosts");
}

TEST_CASE("an overlay that is removed without folding it is caught") {
  Steps steps = live_steps();
  step(steps, "freeze").undo = [](Walk& walk) {
    const auto store = walk.ports().transport.connect(walk.row().from);
    for (const auto& [disk, overlay] : walk.facts().overlays) store->remove_made(overlay);
  };
  CHECK_THAT(verdict_after_death(steps, "alpha freeze"), Catch::Contains("removed"));
}

TEST_CASE("an overlay that is forgotten is caught") {
  Steps steps = live_steps();
  step(steps, "freeze").undo = [](Walk& walk) { walk.source().fold(walk.row().vm, walk.facts().frozen); };
  CHECK_THAT(verdict_after_death(steps, "alpha freeze"), Catch::Contains("left over"));
}

TEST_CASE("a recovery that believes the journal instead of the hosts is caught") {
  Steps steps = live_steps();
  step(steps, "move").happened = [](Walk&) { return false; };
  CHECK(verdict_after_death(steps, "alpha begin move") != "");
}

TEST_CASE("an old primary whose files are adopted before they are frozen for good is caught") {
  Steps steps = live_steps();
  step(steps, "finish").act = [](Walk& walk) -> Json {
    // A point of other contents under the right number.
    const auto points = walk.ports().transport.connect(walk.row().to)->points(walk.request().shadow);
    return {{"point", points.back().number.value}, {"root", points.back().root.to_string()}, {"sent_bytes", 0}};
  };
  CHECK(verdict(steps) != "");
}

TEST_CASE("a primary that keeps its role is caught") {
  Steps steps = live_steps();
  std::erase_if(steps.after, [](const Step& s) { return s.name == "retire"; });
  CHECK(verdict(steps) != "");
}

TEST_CASE("a failure that is none of Umbra's own is taken back like any other") {
  const std::string where = GENERATE("freeze", "finish", "prepare", "move");
  const bool defect = GENERATE(false, true);
  fakes::SimWorld world = make_world();
  Steps steps = live_steps();
  step(steps, where).act = [=](Walk&) -> Json {
    if (defect) return Json::parse("{");
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again), "thread");
  };
  Run run(world);
  CHECK_THROWS_AS(walk_through(run.ports, request_for(alpha, beta), "switchover", steps), base::Error);
  CHECK(untidy(world) == "");
}

TEST_CASE("such a failure in taking back leaves the walk open, and says so") {
  const std::string where = GENERATE("freeze", "prepare");
  fakes::SimWorld world = make_world();
  Steps steps = live_steps();
  step(steps, "move").act = [](Walk&) -> Json { throw base::Error(base::Kind::io, "no"); };
  step(steps, where).undo = [](Walk&) { throw std::runtime_error("thread"); };
  Run run(world);
  CHECK(test::kind_of([&] { walk_through(run.ports, request_for(alpha, beta), "switchover", steps); }) ==
        base::Kind::interrupted);
  world.new_run();
  Run later(world);
  recover(later.ports);
  CHECK(untidy(world) == "");
}
