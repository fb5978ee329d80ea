// SPDX-License-Identifier: Apache-2.0
// What is called once the guest runs on the shadow, how often, and what of it is taken back.
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "matrix.hpp"
#include "model/record.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using ports::Failure;

namespace {

long count(const fakes::SimWorld& world, const std::string& call) {
  return std::count(world.trace.begin(), world.trace.end(), call);
}

/// Waits of the redirect step.
long pauses(const fakes::SimWorld& world) {
  const auto begin = std::find(world.trace.begin(), world.trace.end(), "journal redirect intent");
  return std::count(begin, world.trace.end(), "pause");
}

bool noted(const std::vector<std::string>& notes, const std::string& words) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.find(words) != std::string::npos; });
}

/// The fault strikes the first call of that name on the way there.
void strike(fakes::SimWorld& world, const std::string& name, fakes::Fault::Kind kind) {
  fakes::SimWorld rehearsal = world;
  Run dry(rehearsal);
  switch_over(dry.ports, request_for(alpha, beta));
  const auto call = std::find(rehearsal.trace.begin(), rehearsal.trace.end(), name);
  REQUIRE(call != rehearsal.trace.end());
  const auto at = static_cast<std::size_t>(call - rehearsal.trace.begin()) + 1;
  world.fault = fakes::Fault{kind, fakes::Fault::When::before, at};
}

/// There with `prepare` done to the run, and back with an untouched one: what the walk back called, in order.
std::vector<std::string> undone_after(const std::function<void(Run&)>& prepare) {
  fakes::SimWorld world = make_world();
  Run there(world);
  prepare(there);
  switch_over(there.ports, request_for(alpha, beta));
  world.new_run();
  const std::size_t before = world.trace.size();
  Run back(world);
  const model::Outcome outcome = roll_back(back.ports, request_for(beta, alpha));
  CHECK(outcome.result == "rolled_back");
  std::vector<std::string> calls;
  std::copy_if(world.trace.begin() + static_cast<std::ptrdiff_t>(before), world.trace.end(), std::back_inserter(calls),
               [](const std::string& call) { return call.starts_with("redirect "); });
  return calls;
}

}  // namespace

TEST_CASE("the announcement is the first thing that follows the move, and its failure holds up nothing") {
  fakes::SimWorld world = make_world();
  strike(world, "beta announce", fakes::Fault::Kind::error);
  Run run(world);
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
  CHECK(noted(outcome.notes, "the L2 announcement failed"));
  CHECK(count(world, "redirect balancer") == 1);
  CHECK(count(world, "redirect routes") == 1);
  CHECK(pauses(world) == 0);
  CHECK(outcome.result == "switched");
}

TEST_CASE("redirectors know between which hosts the VM moved") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.probe.answer = {false, "connection refused"};  // there, and back at once
  switch_over(run.ports, request_for(alpha, beta));
  REQUIRE(run.routes.calls.size() == 2);
  CHECK(run.routes.calls[0].from == alpha);
  CHECK(run.routes.calls[0].to == beta);
  CHECK_FALSE(run.routes.calls[0].undo);
  CHECK(run.routes.calls[1].from == beta);
  CHECK(run.routes.calls[1].to == alpha);
  CHECK(run.routes.calls[1].undo);
}

TEST_CASE("a redirector that fails is called again as often as it may, with a wait between") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.balancer.allowed_retries = 2;
  SECTION("and succeeds") {
    run.balancer.fails_at_first = 2;
    const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
    CHECK_FALSE(noted(outcome.notes, "balancer"));
    CHECK(run.balancer.calls.size() == 3);
    CHECK(pauses(world) == 2);
  }
  SECTION("and fails for good") {
    run.balancer.answer = {false, "no such backend"};
    const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
    CHECK(noted(outcome.notes, "redirector balancer failed: no such backend (3 attempts)"));
    CHECK(run.balancer.calls.size() == 3);
    CHECK(run.routes.calls.size() == 1);
  }
  SECTION("but not where another attempt would find the same") {
    run.balancer.answer = {false, "it is not there", Failure::hopeless};
    switch_over(run.ports, request_for(alpha, beta));
    CHECK(run.balancer.calls.size() == 1);
    CHECK(pauses(world) == 0);
  }
  SECTION("but not once a signal asks to stop") {
    run.balancer.answer = {false, "not yet"};
    run.balancer.on_call = [&] { run.cancel.request(15); };
    CHECK(switch_over(run.ports, request_for(alpha, beta)).result == "switched");
    CHECK(run.balancer.calls.size() == 1);
  }
}

TEST_CASE("what may have been redirected is undone, last first, and nothing else") {
  using Calls = std::vector<std::string>;
  CHECK(undone_after([](Run&) {}) == Calls{"redirect routes undo", "redirect balancer undo"});
  // A failure that may have done something is undone too.
  CHECK(undone_after([](Run& run) {
          run.balancer.answer = {false, "timed out"};
        }) == Calls{"redirect routes undo", "redirect balancer undo"});
  CHECK(undone_after([](Run& run) {
          run.balancer.answer = {false, "not there", Failure::hopeless};
        }) == Calls{"redirect routes undo"});
  CHECK(undone_after([](Run& run) {
          run.routes.answer = {false, "unreachable", Failure::untouched};
        }) == Calls{"redirect balancer undo"});
  // Of several attempts one may have done something.
  CHECK(undone_after([](Run& run) {
          run.routes.allowed_retries = 1;
          run.routes.fails_at_first = 1;
          run.routes.answer = {false, "unreachable", Failure::untouched};
        }) == Calls{"redirect routes undo", "redirect balancer undo"});
  // Called by the walk there alone: it is configured since.
  CHECK(undone_after([](Run& run) { run.ports.redirectors = {&run.balancer}; }) == Calls{"redirect balancer undo"});
}

TEST_CASE("a run that died among its redirectors may have called each of them") {
  fakes::SimWorld world = make_world();
  {
    strike(world, "redirect routes", fakes::Fault::Kind::crash);
    Run run(world);
    CHECK_THROWS_AS(switch_over(run.ports, request_for(alpha, beta)), fakes::SimCrash);
  }
  world.new_run();
  Run again(world);
  again.balancer.answer = {false, "not there", Failure::hopeless};
  recover(again.ports);
  world.new_run();
  Run back(world);
  roll_back(back.ports, request_for(beta, alpha));
  CHECK(count(world, "redirect balancer undo") == 1);
}

TEST_CASE("a redirector that is no longer configured is named for what it left") {
  fakes::SimWorld world = make_world();
  Run there(world);
  switch_over(there.ports, request_for(alpha, beta));
  world.new_run();
  Run back(world);
  back.ports.redirectors = {&back.routes};
  const model::Outcome outcome = roll_back(back.ports, request_for(beta, alpha));
  CHECK(noted(outcome.notes, "redirector balancer was called by the walk there and is no longer configured"));
}

TEST_CASE("a redirector that a recovery no longer finds configured is named") {
  fakes::SimWorld world = make_world();
  die_after(world, "journal redirect intent");
  world.new_run();
  Run run(world);
  run.ports.redirectors = {&run.routes};
  const auto recovered = recover(run.ports);
  REQUIRE(recovered.size() == 1);
  const auto& notes = recovered.front().outcome.notes;
  CHECK(noted(notes, "redirector balancer may have been called before the interruption"));
  CHECK_FALSE(noted(notes, "redirector routes may have been"));
}

TEST_CASE("taking back a walk back redirects again") {
  fakes::SimWorld world = make_world();
  Run there(world);
  switch_over(there.ports, request_for(alpha, beta));
  for (const bool undo : {true, false}) {
    world.new_run();
    Run back(world);
    roll_back(back.ports, undo ? request_for(beta, alpha) : request_for(alpha, beta));
    REQUIRE(back.balancer.calls.size() == 1);
    CHECK(back.balancer.calls.front().undo == undo);
  }
}

TEST_CASE("a plan tells which redirectors and which probe would be called, and calls none") {
  fakes::SimWorld world = make_world();
  Run run(world);
  const Plan there = plan(run.ports, request_for(alpha, beta));
  CHECK(noted(
      there.notes,
      "would redirect: the L2 announcement, then balancer, then routes; then the health probe probe for up to 10s, and "
      "back again where it fails"));
  CHECK(run.balancer.calls.empty());
  switch_over(run.ports, request_for(alpha, beta));
  const Plan back = plan(run.ports, request_for(beta, alpha), "rollback");
  CHECK(noted(back.notes, "redirection would be undone: the L2 announcement, then routes, then balancer"));
  run.ports.probe = nullptr;
  CHECK(noted(plan(run.ports, request_for(beta, alpha), "rollback").notes, "no health probe is configured"));
}
