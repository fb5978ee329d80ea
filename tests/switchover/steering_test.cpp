// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "switchover/request_json.hpp"
#include "switchover/steering.hpp"
#include "switchover/walk.hpp"

using namespace umbra;
using namespace umbra::switchover;

namespace {

/// What is advised, other than to go on, when `remaining(ms)` is seen for `seconds`.
std::vector<Steering::Advice> advice(Steering& steering, int seconds,
                                     const std::function<std::uint64_t(int)>& remaining) {
  std::vector<Steering::Advice> all;
  for (int ms = 0; ms < seconds * 1000; ms += 50) {
    ports::MoveProgress progress;
    progress.remaining = {remaining(ms)};
    const auto now = steering.look(progress, base::Millis{ms});
    if (now != Steering::Advice::go_on) all.push_back(now);
    if (now == Steering::Advice::give_up) break;
  }
  return all;
}

}  // namespace

TEST_CASE("a migration that shrinks is left alone, however slowly") {
  Steering steering(base::Millis{300});
  CHECK(advice(steering, 120, [](int ms) { return 8'000'000'000ull - static_cast<std::uint64_t>(ms) * 100; }).empty());
  CHECK(steering.limit() == base::Millis{100});
}

TEST_CASE("passes that shrink are left alone although each starts high") {
  Steering steering(base::Millis{300});
  CHECK(advice(steering, 10, [](int ms) {
          const auto pass = static_cast<std::uint64_t>(ms / 2000);
          return (1'000'000'000ull >> pass) * (2000 - static_cast<std::uint64_t>(ms % 2000)) / 2000;
        }).empty());
}

TEST_CASE("disks that are sent before memory are no measure for it") {
  Steering steering(base::Millis{300});
  // Half a second of a small top layer, then 8 GiB of memory at 100 MiB/s, then ever smaller passes.
  CHECK(advice(steering, 140, [](int ms) -> std::uint64_t {
          if (ms < 500) return 500'000ull - static_cast<std::uint64_t>(ms) * 900;
          if (ms < 82'500) return 8'300'000'000ull - static_cast<std::uint64_t>(ms - 500) * 100'000;
          const int later = ms - 82'500;
          const std::uint64_t begins = 400'000'000ull >> (later / 4000 * 2);
          return begins - begins / 4000 * static_cast<std::uint64_t>(later % 4000) + 1;
        }).empty());
}

TEST_CASE("a migration without figures yet is waited for") {
  Steering steering(base::Millis{300});
  CHECK(advice(steering, 50, [](int) { return 0ull; }).empty());
}

TEST_CASE("a migration in which nothing moves is given up") {
  Steering steering(base::Millis{300});
  CHECK(advice(steering, 100, [](int) { return 5'000'000ull; }) == std::vector{Steering::Advice::give_up});
}

TEST_CASE("a migration that stalls is allowed more in steps, then given up") {
  Steering steering(base::Millis{300});
  // Each pass of 0.4 s begins with the same.
  const auto all =
      advice(steering, 300, [](int ms) { return 1'000'000ull - static_cast<std::uint64_t>(ms % 400) * 2'000; });
  REQUIRE(all.size() == 3);
  CHECK(all[0] == Steering::Advice::raise_limit);
  CHECK(all[1] == Steering::Advice::raise_limit);
  CHECK(all[2] == Steering::Advice::give_up);
  CHECK(steering.limit() == base::Millis{300});
}

TEST_CASE("a walk's row gives back the request that it was made of") {
  Request request;
  request.vm = model::VmName("web1");
  request.shadow = model::ShadowId("web1-7");
  request.from = {model::HostName("alpha"), "qemu+tcp://a/system", {{"x", "y"}}};
  request.to = {model::HostName("beta"), "qemu+tcp://b/system", {}};
  request.record = R"({"a":"\"quoted\""})";
  request.policy.bandwidth = model::ByteRate{5e6};
  request.policy.downtime_limit = base::Millis{120};
  request.policy.probe_deadline = base::Seconds{2.5};
  request.policy.roll_back_on_failed_probe = false;
  request.policy.retain = 5;
  const Request read = request_from(request.vm, to_json(request).dump());
  CHECK(to_json(read) == to_json(request));
  CHECK(read.from.networks == request.from.networks);
  CHECK(read.policy.bandwidth == request.policy.bandwidth);
  CHECK_THROWS_AS(request_from(request.vm, "{\"shadow\":1}"), base::Error);
  CHECK_THROWS_AS(request_from(request.vm, "no json"), base::Error);
}

TEST_CASE("a damaged journal entry is corrupt, not ignored") {
  Facts facts;
  CHECK_THROWS_AS(facts.learn({"freeze", ports::StepPhase::intent, "{\"overlays\":3}", {}}), base::Error);
  CHECK_THROWS_AS(
      facts.learn({"finish", ports::StepPhase::done, "{\"point\":3,\"root\":\"md5:1\",\"sent_bytes\":0}", {}}),
      base::Error);
}
