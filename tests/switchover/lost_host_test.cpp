// SPDX-License-Identifier: Apache-2.0
// The VM's host gives no answer. It is fenced, and the newest point activated; at no moment do two run.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "matrix.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using fakes::Fault;

namespace {

/// alpha is cut off; what runs there goes on, for all that anyone knows.
fakes::SimWorld cut_off_world() {
  fakes::SimWorld world = make_world();
  world.hosts.at(alpha).reachable = false;
  return world;
}

/// The same in the middle of a live walk.
fakes::SimWorld interrupted_world() {
  fakes::SimWorld world = make_world();
  die_after(world, "journal prepare done");
  world.hosts.at(alpha).reachable = false;
  world.new_run();
  return world;
}

model::Outcome activate(Run& run) {
  return from_point(run.ports, request_for(alpha, beta));
}

Kind refusal(fakes::SimWorld& world, const std::function<void(Run&, Request&)>& arrange) {
  const std::string before = picture(world);
  Run run(world);
  Request request = request_for(alpha, beta);
  arrange(run, request);
  const Kind kind = test::kind_of([&] { from_point(run.ports, request); });
  CHECK(picture(world) == before);
  return kind;
}

std::size_t calls_of_activation(fakes::SimWorld world) {
  Run run(world);
  activate(run);
  return world.calls;
}

void check_active_on_beta(const fakes::SimWorld& world) {
  REQUIRE(world.running_on(web1) == std::vector{beta});
  const model::Domain& guest = *world.hosts.at(beta).domains.at(web1).live;
  CHECK(guest.tag.role == model::Role::primary);
  CHECK(guest.tag.epoch == world.epochs.at(guest.uuid));
  CHECK(std::ranges::none_of(world.walks, [](const ports::Walk& walk) { return walk.state == "open"; }));
  CHECK(world.registry.empty());
  CHECK(world.leases.empty());
}

}  // namespace

TEST_CASE("the newest point of a VM whose host is lost is activated, and the loss told") {
  fakes::SimWorld world = cut_off_world();
  world.time += base::Millis{40'000};
  Run run(world);
  const model::Outcome planned = plan_from_point(run.ports, request_for(alpha, beta));
  CHECK(planned.result == "planned");
  CHECK(planned.lost_s.value() >= 40);
  CHECK(world.walks.empty());
  const model::Outcome outcome = activate(run);
  CHECK(outcome.result == "activated");
  CHECK(outcome.host == beta);
  CHECK(outcome.primary == "lost");
  CHECK(outcome.lost_s.value() >= 40);
  CHECK_THAT(outcome.notes.front(), Catch::Contains("since is lost"));
  check_active_on_beta(world);
}

TEST_CASE("a point is not activated where it can't be proved safe") {
  fakes::SimWorld world = cut_off_world();
  CHECK(refusal(world, [](Run& run, Request&) { run.ports.fence = nullptr; }) == Kind::refused);
  CHECK(refusal(world, [&](Run&, Request&) { world.hosts.at(beta).reachable = false; }) == Kind::unreachable);
  world.hosts.at(beta).reachable = true;
  world.hosts.at(alpha).reachable = true;
  CHECK(refusal(world, [](Run&, Request&) {}) == Kind::refused);  // it runs there
  world.hosts.at(alpha).domains.at(web1).live.reset();
  CHECK(refusal(world, [](Run&, Request&) {}) == Kind::refused);  // its disks there are newer
}

TEST_CASE("a fence without proof leaves everything as it was") {
  fakes::SimWorld world = cut_off_world();
  {
    Run run(world);
    run.fence.answer = {false, "no route to the power switch"};
    CHECK(test::kind_of([&] { activate(run); }) == Kind::refused);
  }
  CHECK(world.running_on(web1) == std::vector{alpha});
  CHECK(world.walks.back().state == "undone");
  CHECK(world.hosts.at(beta).shadows.at(shadow_id).tops.empty());
  world.hosts.at(alpha).reachable = true;
  REQUIRE(untidy(world) == "");
}

TEST_CASE("without a fence the risk can be accepted") {
  fakes::SimWorld world = cut_off_world();
  world.cut_power(alpha);
  Run run(world);
  run.ports.fence = nullptr;
  Request request = request_for(alpha, beta);
  request.accept_split_brain_risk = true;
  CHECK(from_point(run.ports, request).result == "activated");
  check_active_on_beta(world);
}

TEST_CASE("a fence whose failure is ignored is caught as two running") {
  fakes::SimWorld world = cut_off_world();
  Run run(world);
  run.fence.answer = {false, "no route"};
  Steps steps = lost_host_steps();
  steps.before.back().act = [](Walk& walk) -> Json {
    walk.ports().fence->fence(walk.row().from);
    walk.note_dead(walk.row().from);
    return Json::object();
  };
  ports::Walk row{0,      std::string(lost_host_kind), web1, world.registry.at(web1).vm_uuid, alpha, beta, {1}, "",
                  "open", base::Instant(world.time)};
  row.id = run.ports.journal.open_walk(row);
  Walk walk(run.ports, row, request_for(alpha, beta), {});
  try {
    walk_to_the_line(walk, {{"parent", 2}}, steps);
    finish_forward(walk, steps);
    FAIL("nothing was caught");
  } catch (const fakes::SimViolation& violation) {
    CHECK(violation.what == "web1 runs on 2 hosts");
  }
}

TEST_CASE("Umbra may die at any call of an activation, or any call may fail") {
  const Fault::When when = GENERATE(Fault::When::before, Fault::When::after);
  const Fault::Kind kind = GENERATE(Fault::Kind::crash, Fault::Kind::error);
  const fakes::SimWorld before = GENERATE(cut_off_world, interrupted_world)();
  const std::size_t calls = calls_of_activation(before);
  REQUIRE(calls > 25);
  for (std::size_t at = 1; at <= calls; ++at) {
    fakes::SimWorld world = before;
    world.fault = Fault{kind, when, at};
    try {
      try {
        Run run(world);
        activate(run);
      } catch (const fakes::SimCrash&) {
      } catch (const base::Error&) {
      }
      INFO("call " << at << ": " << (world.trace.size() < at ? "" : world.trace[at - 1]));
      for (const bool first : {true, false}) {
        world.new_run();
        Run run(world);
        try {
          const auto recovered = recover(run.ports);
          if (!first) CHECK(recovered.empty());
        } catch (const base::Error& e) {
          // The live walk that has not been superseded yet.
          CHECK(e.kind() == Kind::interrupted);
          REQUIRE(world.walks.front().state == "open");
          REQUIRE(world.walks.front().kind == "switchover");
        }
      }
      if (world.running_on(web1) != std::vector{beta}) {
        CHECK(world.hosts.at(beta).shadows.at(shadow_id).tops.size() <= (any_open(world) ? 1 : 0));
        world.new_run();
        Run run(world);
        activate(run);
      }
      check_active_on_beta(world);
    } catch (const fakes::SimViolation& violation) {
      FAIL("violated at call " << at << ": " << violation.what);
    } catch (const base::Error& e) {
      FAIL("error at call " << at << ": " << e.what());
    }
  }
}

TEST_CASE("a walk that the host's end interrupted is superseded by the activation") {
  fakes::SimWorld world = interrupted_world();
  {
    Run run(world);
    CHECK(test::kind_of([&] { recover(run.ports); }) == Kind::interrupted);
  }
  Run run(world);
  CHECK(activate(run).result == "activated");
  check_active_on_beta(world);
  CHECK(world.hosts.at(beta).shadows.at(shadow_id).tops.size() == 1);
}

TEST_CASE("an interrupted walk stays open until the host is fenced") {
  fakes::SimWorld world = interrupted_world();
  SECTION("where the fence gives no proof") {
    Run run(world);
    run.fence.answer = {false, "no route to the power switch"};
    CHECK(test::kind_of([&] { activate(run); }) == Kind::refused);
  }
  SECTION("where the activation could not be noted") {
    fakes::SimWorld rehearsal = world;
    Run dry(rehearsal);
    activate(dry);
    const auto open = std::ranges::find(rehearsal.trace, "journal open") - rehearsal.trace.begin() + 1;
    world.fault = Fault{Fault::Kind::error, Fault::When::after, static_cast<std::size_t>(open)};
    Run run(world);
    CHECK(test::kind_of([&] { activate(run); }) == Kind::io);
  }
  REQUIRE(world.walks.size() == 2);
  CHECK(world.walks[0].state == "open");
  CHECK(world.walks[1].state == "undone");
  // Back again, the host runs the VM, and the walk is taken back there.
  world.hosts.at(alpha).reachable = true;
  world.new_run();
  Run run(world);
  recover(run.ports);
  CHECK(untidy(world) == "");
  CHECK(world.running_on(web1) == std::vector{alpha});
}

TEST_CASE("a walk whose guest turns out to have arrived is not superseded") {
  fakes::SimWorld world = interrupted_world();
  fakes::SimWorld rehearsal = world;
  Run dry(rehearsal);
  activate(dry);
  const auto fence = std::ranges::find(rehearsal.trace, "fence alpha") - rehearsal.trace.begin() + 1;
  world.fault = Fault{Fault::Kind::blow, Fault::When::after, static_cast<std::size_t>(fence), [](auto& struck) {
                        struck.hosts.at(beta).domains.at(web1).defined->tag.epoch = struck.walks[0].epoch;
                      }};
  Run run(world);
  CHECK(test::kind_of([&] { activate(run); }) == Kind::interrupted);
  CHECK(world.walks[0].state == "open");
  CHECK(world.walks[1].state == "undone");
}

namespace {

/// The newest point has memory; Umbra dies after that call of the activation.
fakes::SimWorld dead_after(const std::string& call, const std::function<void(fakes::SimWorld&)>& arrange = {}) {
  fakes::SimWorld world = make_world();
  world.add_memory(beta, shadow_id);
  if (arrange) arrange(world);
  world.hosts.at(alpha).reachable = false;
  fakes::SimWorld rehearsal = world;
  Run dry(rehearsal);
  activate(dry);
  const auto at = std::ranges::find(rehearsal.trace, call) - rehearsal.trace.begin() + 1;
  world.fault = Fault{Fault::Kind::crash, Fault::When::after, static_cast<std::size_t>(at)};
  Run run(world);
  CHECK_THROWS_AS(activate(run), fakes::SimCrash);
  world.new_run();
  return world;
}

}  // namespace

TEST_CASE("a point with memory is resumed from it; one that can't be starts from its disks") {
  fakes::SimWorld world = make_world();
  world.add_memory(beta, shadow_id);
  const bool damaged = GENERATE(false, true);
  for (auto& [file, memory] : world.hosts.at(beta).memories) memory.damaged = damaged;
  world.hosts.at(alpha).reachable = false;
  Run run(world);
  const model::Outcome outcome = activate(run);
  check_active_on_beta(world);
  CHECK(std::ranges::count(world.trace, "beta restore") == 1);
  CHECK(std::ranges::count(world.trace, "beta start") == (damaged ? 1 : 0));
  const bool told = std::ranges::any_of(
      outcome.notes, [](const std::string& note) { return note.find("could not be resumed") != std::string::npos; });
  CHECK(told == damaged);
}

TEST_CASE("a guest that ran and ended before its start was noted goes on with all that it wrote") {
  const bool damaged = GENERATE(false, true);
  fakes::SimWorld world = dead_after(damaged ? "beta start" : "beta restore", [&](fakes::SimWorld& arranged) {
    for (auto& [file, memory] : arranged.hosts.at(beta).memories) memory.damaged = damaged;
  });
  REQUIRE(world.running_on(web1) == std::vector{beta});
  for (int i = 0; i < 30; ++i) world.event();
  world.kill_qemu(beta, web1);
  Run run(world);
  const auto recovered = recover(run.ports);
  check_active_on_beta(world);  // the world compares what it reads with what it was told
  world.event();
  CHECK_THAT(recovered.at(0).outcome.notes.front(), Catch::Contains("with all that it wrote"));
}

TEST_CASE("a lost host that is back with the VM up is told to be stopped, not joined by a second") {
  fakes::SimWorld world = dead_after("journal fence done");
  fakes::SimHost& back = world.hosts.at(alpha);
  back.reachable = true;
  back.domains.at(web1).live = back.domains.at(web1).defined;
  back.domains.at(web1).live->state = model::DomainState::paused;  // what it holds is newer than what was given up
  {
    Run run(world);
    try {
      recover(run.ports);
      FAIL("it was recovered beside one that runs");
    } catch (const base::Error& e) {
      CHECK(e.kind() == Kind::interrupted);
      CHECK_THAT(e.hint(), Catch::Contains("virsh -c sim://alpha destroy web1, then: umbra switchover --recover web1"));
    }
  }
  CHECK(world.running_on(web1).empty());
  back.domains.at(web1).live.reset();
  world.new_run();
  Run run(world);
  recover(run.ports);
  check_active_on_beta(world);
}

TEST_CASE("a lost host that is silent when an activation is taken up again is fenced again") {
  fakes::SimWorld world = dead_after("journal fence done");
  Run run(world);
  SECTION("with proof") {
    recover(run.ports);
    check_active_on_beta(world);
  }
  SECTION("without") {
    run.fence.answer = {false, "no route"};
    CHECK(test::kind_of([&] { recover(run.ports); }) == Kind::interrupted);
    CHECK(world.running_on(web1).empty());
  }
  CHECK(std::ranges::count(world.trace, "fence alpha") == 1);
}

TEST_CASE("a host that answers again while the point is read back is not fenced") {
  fakes::SimWorld world = cut_off_world();
  fakes::SimWorld rehearsal = world;
  Run dry(rehearsal);
  activate(dry);
  const auto raised = std::ranges::find(rehearsal.trace, "beta raise top") - rehearsal.trace.begin();
  world.hosts.at(alpha).back_after = static_cast<unsigned>(raised) + 1;
  Run run(world);
  CHECK(test::kind_of([&] { activate(run); }) == Kind::refused);
  CHECK(std::ranges::count(world.trace, "beta raise top") == 1);
  CHECK(std::ranges::count(world.trace, "fence alpha") == 0);
  CHECK(untidy(world) == "");
}
