// SPDX-License-Identifier: Apache-2.0
// What a walk is expected to take, what it is refused for, and what it is found to have taken.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"
#include "switchover/estimate.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;

namespace {

/// A walk that was expected to take `modelled` and took so many times that.
Facts walk_that_took(const Cost& modelled, double times) {
  Facts facts;
  facts.estimate = Estimate{modelled, modelled, {}, {}, {}, {}};
  facts.blackout_ms = modelled.blackout_ms * times;
  facts.brownout_ms = modelled.brownout_ms * times;
  facts.moved_bytes = model::ByteCount{static_cast<std::uint64_t>(static_cast<double>(modelled.bytes.value) * times)};
  return facts;
}

/// What a switchover under `policy` is refused with, nothing having been changed.
base::Error refused(const std::function<void(model::VmPolicy&)>& set) {
  fakes::SimWorld world = make_world();
  const std::string before = picture(world);
  Run run(world);
  Request request = request_for(alpha, beta);
  set(request.policy);
  CHECK(test::kind_of([&] { plan(run.ports, request); }) == Kind::refused);
  try {
    switch_over(run.ports, request);
  } catch (const base::Error& e) {
    CHECK(picture(world) == before);
    return e;
  }
  FAIL("it was not refused");
  throw;
}

}  // namespace

TEST_CASE("an estimate follows what earlier walks took, once two agree") {
  const Cost modelled{100, 2000, {1'000'000}};
  CHECK(corrected(modelled, {}).blackout_ms == 100);
  const std::vector once{walk_that_took(modelled, 8)};
  CHECK(corrected(modelled, once).blackout_ms == 100);
  const std::vector twice{walk_that_took(modelled, 8), walk_that_took(modelled, 6)};
  const Cost cost = corrected(modelled, twice);
  CHECK(cost.blackout_ms == Approx(600));
  CHECK(cost.brownout_ms == Approx(12'000));
  CHECK(cost.bytes.value == 6'000'000);
}

TEST_CASE("a walk is refused, untouched, where its estimate breaks a limit, and each limit is named") {
  const base::Error blackout = refused([](model::VmPolicy& policy) { policy.blackout_limit = base::Millis{20}; });
  CHECK(blackout.kind() == Kind::refused);
  CHECK(blackout.message().find("a blackout of about") != std::string::npos);
  CHECK(blackout.message().find("20 ms are allowed") != std::string::npos);
  CHECK(blackout.hint().find("`blackout_limit`") != std::string::npos);
  const base::Error both = refused([](model::VmPolicy& policy) {
    policy.brownout_limit = base::Seconds{2};
    policy.bytes_limit = model::ByteCount{1 << 20};
  });
  CHECK(both.message().find("a brownout of about") != std::string::npos);
  CHECK(both.message().find("to send (1 MiB are allowed)") != std::string::npos);
  CHECK(both.hint().find("`brownout_limit`, `bytes_limit`") != std::string::npos);
}

TEST_CASE("limits that the estimate keeps refuse nothing") {
  fakes::SimWorld world = make_world();
  Run run(world);
  Request request = request_for(alpha, beta);
  request.policy.blackout_limit = base::Millis{1000};
  request.policy.brownout_limit = base::Seconds{60};
  request.policy.bytes_limit = model::ByteCount{4ull << 30};
  CHECK(switch_over(run.ports, request).result == "switched");
}

TEST_CASE("no limit keeps a guest where its probe has failed") {
  fakes::SimWorld world = make_world();
  Run run(world);
  run.probe.answer = {false, "connection refused"};
  Request request = request_for(alpha, beta);
  request.policy.bytes_limit = plan(run.ports, request).cost.bytes;
  // The way back has more to send.
  for (auto& [name, host] : world.hosts)
    for (auto& [vm, domain] : host.domains) domain.defined->memory = model::ByteCount{2ull << 30};
  CHECK(switch_over(run.ports, request).result == "rolled_back");
}

TEST_CASE("the outcome has what was measured beside what was expected") {
  fakes::SimWorld world = make_world();
  Run run(world);
  const Plan before = plan(run.ports, request_for(alpha, beta));
  const model::Outcome outcome = switch_over(run.ports, request_for(alpha, beta));
  CHECK(outcome.blackout_ms == 120.0);
  CHECK(outcome.brownout_ms == 4000.0);
  CHECK(outcome.sent->value > 300'000'000);
  CHECK(outcome.blackout_estimate_ms == Approx(before.cost.blackout_ms));
  CHECK(outcome.brownout_estimate_ms == Approx(before.cost.brownout_ms));
  CHECK(outcome.sent_estimate == before.cost.bytes);
  const model::Outcome planned = before.as_outcome(alpha);
  CHECK(planned.brownout_estimate_ms == outcome.brownout_estimate_ms);
  CHECK_FALSE(planned.brownout_ms);
}

TEST_CASE("a guest is slowed down the more, the further it is from converging") {
  model::VmPolicy policy;
  const auto initial = [&](double dirty) {
    return throttle_of(policy, Estimate{{}, {}, {dirty}, {100e6}, {}, {}})->initial.value;
  };
  CHECK(initial(1e6) == Approx(0.1));
  CHECK(initial(100e6) == Approx(0.5));
  CHECK(initial(1e9) == Approx(0.7));
  CHECK(throttle_of(policy, std::nullopt)->initial.value == Approx(0.1));
  policy.auto_converge = false;
  CHECK_FALSE(throttle_of(policy, std::nullopt));
}
