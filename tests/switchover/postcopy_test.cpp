// SPDX-License-Identifier: Apache-2.0
// A guest that is moved before its memory: from then on the target is the VM, and needs the source until the rest came.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;

namespace {

/// A guest that does not converge within any blackout that is allowed.
fakes::SimWorld busy_world() {
  fakes::SimWorld world = make_world();
  world.link.converges_at = base::Millis{900};
  return world;
}

Request by_postcopy() {
  Request request = request_for(alpha, beta);
  request.policy.postcopy = true;
  return request;
}

/// Runs the walk until post-copy has begun, and strikes there; how the walk ends then.
std::optional<Kind> struck(fakes::SimWorld& world, const std::function<void(fakes::SimWorld&)>& blow) {
  fakes::SimWorld rehearsal = world;
  {
    Run run(rehearsal);
    switch_over(run.ports, by_postcopy());
  }
  const auto begun = std::ranges::find(rehearsal.trace, "move postcopy") - rehearsal.trace.begin();
  world.fault =
      fakes::Fault{fakes::Fault::Kind::blow, fakes::Fault::When::after, static_cast<std::size_t>(begun) + 3, blow};
  Run run(world);
  try {
    switch_over(run.ports, by_postcopy());
  } catch (const base::Error& e) {
    INFO(e.what() << e.hint());
    return e.kind();
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a guest that does not converge is moved before its memory where that is allowed") {
  fakes::SimWorld world = busy_world();
  Run run(world);
  CHECK(switch_over(run.ports, by_postcopy()).result == "switched");
  CHECK(std::ranges::count(world.trace, "move postcopy") == 1);
  CHECK(world.running_on(web1) == std::vector{beta});
  CHECK(untidy(world) == "");
  // Clients do not wait for the rest of the memory; the old half is waited for.
  const auto at = [&](const std::string& call) { return std::ranges::find(world.trace, call) - world.trace.begin(); };
  CHECK(at("redirect balancer") < at("alpha define"));
}

TEST_CASE("a stop that is asked for in post-copy is too late: the walk goes on to its end") {
  fakes::SimWorld world = busy_world();
  Run* current = nullptr;
  fakes::SimWorld rehearsal = world;
  {
    Run run(rehearsal);
    switch_over(run.ports, by_postcopy());
  }
  const auto begun = std::ranges::find(rehearsal.trace, "move postcopy") - rehearsal.trace.begin();
  world.fault = fakes::Fault{fakes::Fault::Kind::blow, fakes::Fault::When::after, static_cast<std::size_t>(begun) + 3,
                             [&](fakes::SimWorld&) { current->cancel.request(15); }};
  Run run(world);
  current = &run;
  CHECK(switch_over(run.ports, by_postcopy()).result == "switched");
  CHECK(std::ranges::count(world.trace, "move abort") == 0);
}

TEST_CASE("post-copy that lost its link starts nothing anywhere, and goes on once it is back") {
  fakes::SimWorld world = busy_world();
  CHECK(struck(world, [](fakes::SimWorld& w) { w.cut_link(0); }) == Kind::interrupted);
  CHECK(world.running_on(web1).empty());
  CHECK(world.hosts.at(alpha).domains.at(web1).live->postcopy == model::Postcopy::failed);
  CHECK(world.hosts.at(beta).domains.at(web1).live->postcopy == model::Postcopy::failed);
  world.new_run();
  Run run(world);
  SECTION("as long as it is cut, recovery says what to do, and changes nothing") {
    const std::string before = picture(world);
    try {
      recover(run.ports);
      FAIL("it went on");
    } catch (const base::Error& e) {
      CHECK(e.kind() == Kind::interrupted);
      CHECK(e.hint().find("end neither half") != std::string::npos);
      CHECK(e.hint().find("umbra switchover --recover web1") != std::string::npos);
    }
    CHECK(picture(world) == before);
    CHECK(test::kind_of([&] { switch_over(run.ports, by_postcopy()); }) == Kind::interrupted);
  }
  world.heal();
  CHECK(recover(run.ports).size() == 1);
  CHECK(std::ranges::count(world.trace, "alpha resume move") >= 1);
  CHECK(world.running_on(web1) == std::vector{beta});
  CHECK(untidy(world) == "");
}

TEST_CASE("a link that is cut for a moment in post-copy costs time alone: nobody cuts what TCP would mend") {
  fakes::SimWorld world = busy_world();
  CHECK(struck(world, [](fakes::SimWorld& w) { w.cut_link(10); }) == std::nullopt);
  CHECK(std::ranges::count(world.trace, "alpha resume move") == 0);
  CHECK(untidy(world) == "");
}

TEST_CASE("... and where post-copy broke all the same, it goes on within the walk once the link is back") {
  fakes::SimWorld world = busy_world();
  const auto broken = [](fakes::SimWorld& w) {
    w.cut_link(0);
    w.link.heals_after = 30;
  };
  CHECK(struck(world, broken) == std::nullopt);
  CHECK(std::ranges::count(world.trace, "alpha resume move") >= 1);
  CHECK(world.running_on(web1) == std::vector{beta});
  CHECK(untidy(world) == "");
}

TEST_CASE("a guest whose memory ended with one half is started anew on the target, with every write") {
  for (const model::HostName& victim : {alpha, beta}) {
    INFO(victim.get());
    fakes::SimWorld world = busy_world();
    struck(world, [&](fakes::SimWorld& w) { w.kill_qemu(victim, web1); });
    world.new_run();
    Run run(world);
    recover(run.ports);
    CHECK(world.running_on(web1) == std::vector{beta});
    CHECK(untidy(world) == "");
  }
}

TEST_CASE("clients are redirected although the source takes its time to end") {
  fakes::SimWorld world = make_world();
  world.link.ends_after = 60;
  Run run(world);
  CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
  CHECK(untidy(world) == "");
}

TEST_CASE("a source whose libvirt never hears of the arrival is ended") {
  fakes::SimWorld world = make_world();
  fakes::SimWorld rehearsal = world;
  {
    Run run(rehearsal);
    switch_over(run.ports, request_for(alpha, beta));
  }
  const auto moved = std::ranges::find(rehearsal.trace, "journal move done") - rehearsal.trace.begin();
  world.link.ends_after = 60;
  world.fault = fakes::Fault{fakes::Fault::Kind::blow, fakes::Fault::When::after, static_cast<std::size_t>(moved) + 1,
                             [](fakes::SimWorld& w) { w.cut_link(0); }};
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  CHECK(std::ranges::count(world.trace, "alpha destroy") == 1);
  CHECK(untidy(world) == "");
}
