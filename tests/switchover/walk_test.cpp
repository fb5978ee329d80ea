// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "model/record.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;

namespace {

using test::kind_of;

std::vector<std::string> names(const std::vector<model::Phase>& phases) {
  std::vector<std::string> all;
  for (const model::Phase& phase : phases) all.push_back(phase.name);
  return all;
}

}  // namespace

TEST_CASE("a switchover leaves the guest on the shadow with every write, and the old primary as its shadow") {
  fakes::SimWorld world = make_world();
  Run run(world);
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));

  CHECK(outcome.result == "switched");
  CHECK(outcome.host == beta);
  CHECK(outcome.epoch.value == 1);
  CHECK(outcome.primary == "hibernated");
  CHECK(outcome.blackout_ms == 120.0);
  CHECK(names(outcome.phases) ==
        std::vector<std::string>{"lease", "freeze", "finish", "prepare", "move", "redirect", "retire", "reverse"});
  CHECK(world.running_on(web1) == std::vector{beta});
  CHECK(untidy(world) == "");
  const model::Domain& old = *world.hosts.at(alpha).domains.at(web1).defined;
  CHECK(old.tag == model::RoleTag{model::Role::hibernated, beta, {1}});
  CHECK(old.disks.front().path == "/images/web1-vda.qcow2");
  CHECK(world.hosts.at(beta).domains.at(web1).live->tag == model::RoleTag{model::Role::primary, alpha, {1}});
  // Both hosts hold the point that they share.
  const auto& here = world.hosts.at(beta).shadows.at(shadow_id).points;
  const auto& there = world.hosts.at(alpha).shadows.at(shadow_id).points;
  CHECK(there.rbegin()->second.info.root == here.rbegin()->second.info.root);
  CHECK(there.rbegin()->first == here.rbegin()->first);
  CHECK(world.registry.at(web1).replica->method == "frozen");
}

TEST_CASE("the processes that were recorded with a point are looked for after the walk") {
  fakes::SimWorld world = make_world();
  const model::GuestProcess sshd{212, "sshd", 400};
  const model::GuestProcess cron{230, "cron", 410};
  auto& points = world.hosts.at(beta).shadows.at(shadow_id).points;
  points.begin()->second.activity = model::to_json(model::GuestActivity{{sshd, cron}, 20}).dump();
  const auto note_after = [&](std::optional<model::GuestActivity> now) -> std::string {
    fakes::SimWorld copy = world;
    copy.guests.at(web1).activity = std::move(now);
    Run run(copy);
    const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
    CHECK(outcome.result == "switched");
    for (const std::string& note : outcome.notes)
      if (note.find("process") != std::string::npos) return note;
    return "";
  };
  CHECK(note_after(std::nullopt) == "");
  CHECK(note_after(model::GuestActivity{{sshd, cron}, 20}).starts_with("2 of the 2 processes that ran at point 1 of "));
  const model::GuestProcess another_cron{230, "cron", 900};
  const std::string note = note_after(model::GuestActivity{{sshd, another_cron}, 20});
  CHECK(note.starts_with("1 of the 2 processes"));
  CHECK(note.ends_with("; ended since: cron (230)"));
  points.begin()->second.activity = "no JSON";
  CHECK(note_after(model::GuestActivity{{sshd}, 20}).starts_with("whether the guest's processes go on was not seen"));
}

TEST_CASE("the host that is left does not start the VM with itself any more, the one it went to does") {
  fakes::SimWorld world = make_world();
  auto& old_home = world.hosts.at(alpha).domains.at(web1);
  old_home.defined->autostart = old_home.live->autostart = true;
  SECTION("a walk that ends") {
    Run run(world);
    switch_over(run.ports, request_for(alpha, beta));
    const auto at = [&](const std::string& call) { return std::ranges::find(world.trace, call) - world.trace.begin(); };
    CHECK(at("alpha autostart") < at("alpha begin move"));
    CHECK_FALSE(world.hosts.at(alpha).domains.at(web1).defined->autostart);
    CHECK(world.hosts.at(beta).domains.at(web1).defined->autostart);
  }
  SECTION("a walk that is taken back") {
    world.link.fails_late = true;
    Run run(world);
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), base::Error);
    CHECK(old_home.defined->autostart);
    CHECK(world.running_on(web1) == std::vector{alpha});
  }
}

TEST_CASE("what a hook says need be no UTF-8") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.balancer.answer = {false, "caf\xe9"};
  CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
  CHECK(untidy(world) == "");
}

TEST_CASE("what the walk writes down comes before what it does") {
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  const auto at = [&](const std::string& call) {
    const auto it = std::find(world.trace.begin(), world.trace.end(), call);
    REQUIRE(it != world.trace.end());
    return it - world.trace.begin();
  };
  CHECK(at("lease") < at("journal open"));
  CHECK(at("journal freeze intent") < at("alpha freeze"));
  CHECK(at("alpha freeze") < at("journal freeze done"));
  CHECK(at("journal finish intent") < at("beta commit"));
  CHECK(at("beta commit") < at("beta raise top"));
  CHECK(at("journal prepare done") < at("journal move intent"));
  CHECK(at("journal move intent") < at("alpha begin move"));
  CHECK(at("journal move done") < at("journal raise epoch"));
  CHECK(at("journal raise epoch") < at("redirect balancer"));
  CHECK(at("redirect balancer") < at("redirect routes"));
  CHECK(at("redirect routes") < at("probe"));
  CHECK(at("alpha define") < at("alpha adopt"));
  // What follows only looks.
  const std::vector<std::string> tail(world.trace.begin() + at("journal close") + 1, world.trace.end());
  CHECK(tail ==
        std::vector<std::string>{"connect beta", "beta points", "beta activity", "beta activity", "beta activity"});
}

TEST_CASE("a guest goes there and back ten times without losing a write") {
  fakes::SimWorld world = make_world();
  for (unsigned i = 0; i < 10; ++i) {
    const bool there = i % 2 == 0;
    world.new_run();
    Run run(world);
    const Request request = there ? request_for(alpha, beta) : request_for(beta, alpha);
    const model::Outcome outcome = there ? switch_over(run.ports, request) : roll_back(run.ports, request);
    CHECK(outcome.result == (there ? "switched" : "rolled_back"));
    CHECK(outcome.epoch.value == i + 1);
    CHECK(outcome.host == (there ? beta : alpha));
    REQUIRE(untidy(world) == "");
    for (int e = 0; e < 3; ++e) world.event();
  }
  // Retention holds on both sides, however often the guest comes by.
  CHECK(world.hosts.at(alpha).shadows.at(shadow_id).points.size() <= 4);
}

TEST_CASE("a walk back sends what lies above the shared point, and nothing else") {
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  world.new_run();
  Run again(world);
  roll_back(again.ports, request_for(beta, alpha));
  const auto& entries = world.entries.at(2);
  const auto finish = std::find_if(entries.begin(), entries.end(), [](const ports::JournalEntry& entry) {
    return entry.step == "finish" && entry.phase == ports::StepPhase::done;
  });
  REQUIRE(finish != entries.end());
  CHECK(model::required<std::string>(Json::parse(finish->data), "method") == "above");
  CHECK(std::count(world.trace.begin(), world.trace.end(), "redirect routes undo") == 1);
}

TEST_CASE("an old home with more points than the new shadow still becomes the shadow") {
  // alpha is decommissioned after the first walk, and gets a shadow made anew, whose points count from 1 again.
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  decommission(run.ports, {web1, alpha, shadow_id, base::Seconds(0), true});
  world.replicate(web1, beta, alpha, shadow_id);
  REQUIRE(world.hosts.at(alpha).shadows.at(shadow_id).points.rbegin()->first.value == 1);
  switch_over(run.ports, request_for(beta, alpha));
  CHECK(untidy(world) == "");
  CHECK(world.hosts.at(alpha).shadows.at(shadow_id).points.rbegin()->first.value == 2);
  CHECK(world.hosts.at(beta).shadows.at(shadow_id).points.rbegin()->first.value == 4);
  CHECK(world.registry.at(web1).replica->point.value == 4);
  roll_back(run.ports, request_for(alpha, beta));
  CHECK(untidy(world) == "");
}

TEST_CASE("a roll-back is refused where there was no switchover") {
  fakes::SimWorld world = make_world();
  const std::string before = picture(world);
  Run run(world);
  CHECK(kind_of([&] { roll_back(run.ports, request_for(alpha, beta)); }) == Kind::refused);
  CHECK(picture(world) == before);
}

TEST_CASE("where the old primary is to be given up, it is rolled back within the window alone") {
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  Request back = request_for(beta, alpha);
  back.policy.after = model::After::decommission;
  SECTION("within it") {
    roll_back(run.ports, back);
    CHECK(world.running_on(web1) == std::vector{alpha});
  }
  SECTION("after it, with the reason and the other way") {
    world.time += std::chrono::hours(2);
    const std::string before = picture(world);
    try {
      roll_back(run.ports, back);
      FAIL("it was rolled back");
    } catch (const base::Error& e) {
      CHECK(e.kind() == Kind::refused);
      CHECK(std::string(e.what()).find("the rollback window of 1h ended 1h ago: ") == 0);
      CHECK(e.hint() == "as long as it is not: umbra switchover web1 moves it there");
    }
    CHECK(picture(world) == before);
    switch_over(run.ports, back);
    CHECK(world.running_on(web1) == std::vector{alpha});
  }
  SECTION("after it, where it is kept") {
    world.time += std::chrono::hours(2);
    roll_back(run.ports, request_for(beta, alpha));
    CHECK(world.running_on(web1) == std::vector{alpha});
  }
}

TEST_CASE("a roll-back is refused where the reverse shadow is gone") {
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  world.hosts.at(alpha).shadows.clear();
  CHECK(kind_of([&] { roll_back(run.ports, request_for(beta, alpha)); }) == Kind::refused);
  CHECK(world.running_on(web1) == std::vector{beta});
}

TEST_CASE("a failed probe walks back where the policy says so") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.probe.answer = {false, "connection refused"};
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
  CHECK(outcome.result == "rolled_back");
  CHECK(outcome.host == alpha);
  CHECK(outcome.epoch.value == 2);
  CHECK(untidy(world) == "");
}

TEST_CASE("a failed probe is a note where the policy says to stay") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.probe.answer = {false, "connection refused"};
  Request request = request_for(alpha, beta);
  request.policy.roll_back_on_failed_probe = false;
  const model::Outcome outcome = switch_over(run.ports, request);
  CHECK(outcome.result == "switched");
  CHECK(std::any_of(outcome.notes.begin(), outcome.notes.end(),
                    [](const std::string& note) { return note.find("connection refused") != std::string::npos; }));
  CHECK(untidy(world) == "");
}

TEST_CASE("a redirector that fails is a note, and the walk ends") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.balancer.answer = {false, "no such backend"};
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
  CHECK(outcome.result == "switched");
  CHECK(std::any_of(outcome.notes.begin(), outcome.notes.end(),
                    [](const std::string& note) { return note.find("no such backend") != std::string::npos; }));
}

TEST_CASE("a plan changes nothing and says what it stands on") {
  fakes::SimWorld world = make_world();
  const std::string before = picture(world);
  Run run(world);
  Request request = request_for(alpha, beta);
  const Plan first = plan(run.ports, request);
  CHECK(first.cost.blackout_ms == Approx(first.modelled.blackout_ms));
  CHECK(first.cost.bytes.value >= 1ull << 30);
  CHECK(picture(world) == before);
  CHECK(first.as_outcome(alpha).result == "planned");
  CHECK(first.as_outcome(alpha).phases.size() == 8);

  switch_over(run.ports, request);
  const Plan back = plan(run.ports, request_for(beta, alpha));
  CHECK(back.modelled.blackout_ms == Approx(first.modelled.blackout_ms));
  CHECK(back.cost.blackout_ms == Approx(120));
}

TEST_CASE("what a decommissioned primary's disk stood on is left, since others may stand on it, and told") {
  fakes::SimWorld world = make_world();
  auto& files = world.hosts.at(alpha).files;
  files["/images/golden.qcow2"];
  files.at("/images/web1-vda.qcow2").backing = "/images/golden.qcow2";
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  const model::Outcome outcome = decommission(run.ports, {web1, alpha, shadow_id, base::Seconds(0), true});
  CHECK(files.size() == 1);
  CHECK(files.contains("/images/golden.qcow2"));
  CHECK(std::ranges::any_of(outcome.notes, [](const std::string& note) {
    return note.find("left, since others may stand on it too: /images/golden.qcow2") != std::string::npos;
  }));
}

TEST_CASE("an old primary is decommissioned only after the rollback window, or by force") {
  fakes::SimWorld world = make_world();
  Run run(world);
  switch_over(run.ports, request_for(alpha, beta));
  DecommissionRequest request{web1, alpha, shadow_id, base::Seconds(3600), false};
  SECTION("within the window it is refused") {
    const std::string before = picture(world);
    CHECK(kind_of([&] { decommission(run.ports, request); }) == Kind::refused);
    CHECK(kind_of([&] { check_decommission(run.ports, request); }) == Kind::refused);
    CHECK(picture(world) == before);
  }
  SECTION("after it, definition and disks are gone, and again there is nothing to do") {
    world.time += std::chrono::hours(2);
    CHECK(decommission(run.ports, request).primary == "decommissioned");
    CHECK(world.hosts.at(alpha).domains.empty());
    CHECK(world.hosts.at(alpha).files.empty());
    CHECK(world.registry.empty());
    CHECK(world.running_on(web1) == std::vector{beta});
    CHECK(decommission(run.ports, request).primary == "decommissioned");
  }
  SECTION("a clock that was set back does not end it") {
    world.time -= std::chrono::hours(2);
    CHECK(kind_of([&] { decommission(run.ports, request); }) == Kind::refused);
  }
  SECTION("the way back is open until it is gone") {
    roll_back(run.ports, request_for(beta, alpha));
    CHECK(world.running_on(web1) == std::vector{alpha});
    CHECK(kind_of([&] { decommission(run.ports, request); }) == Kind::refused);
    CHECK(untidy(world) == "");
  }
  SECTION("by force at once") {
    request.force = true;
    CHECK(decommission(run.ports, request).primary == "decommissioned");
    CHECK(world.hosts.at(alpha).files.empty());
  }
  SECTION("never the host where it runs") {
    request.host = beta;
    request.force = true;
    CHECK(kind_of([&] { decommission(run.ports, request); }) == Kind::refused);
  }
  SECTION("never while it runs nowhere") {
    request.force = true;
    world.hosts.at(beta).domains.at(web1).live.reset();
    CHECK(kind_of([&] { decommission(run.ports, request); }) == Kind::refused);
  }
}
