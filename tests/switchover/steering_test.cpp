// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
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
  Steering steering(Bounds{base::Millis{300}});
  CHECK(advice(steering, 120, [](int ms) { return 8'000'000'000ull - static_cast<std::uint64_t>(ms) * 100; }).empty());
  CHECK(steering.limit() == base::Millis{50});
}

TEST_CASE("passes that shrink are left alone although each starts high") {
  Steering steering(Bounds{base::Millis{300}});
  CHECK(advice(steering, 10, [](int ms) {
          const auto pass = static_cast<std::uint64_t>(ms / 2000);
          return (1'000'000'000ull >> pass) * (2000 - static_cast<std::uint64_t>(ms % 2000)) / 2000;
        }).empty());
}

TEST_CASE("disks that are sent before memory are no measure for it") {
  Steering steering(Bounds{base::Millis{300}});
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
  Steering steering(Bounds{base::Millis{300}});
  CHECK(advice(steering, 50, [](int) { return 0ull; }).empty());
}

TEST_CASE("a migration in which nothing moves is given up") {
  Steering steering(Bounds{base::Millis{300}});
  CHECK(advice(steering, 100, [](int) { return 5'000'000ull; }) == std::vector{Steering::Advice::give_up});
}

TEST_CASE("a migration that stalls is allowed more in steps, then given up") {
  Steering steering(Bounds{base::Millis{300}});
  // Each pass of 0.4 s begins with the same.
  const auto all =
      advice(steering, 300, [](int ms) { return 1'000'000ull - static_cast<std::uint64_t>(ms % 400) * 2'000; });
  REQUIRE(all.size() > 3);
  CHECK(all.back() == Steering::Advice::give_up);
  CHECK(std::ranges::count(all, Steering::Advice::raise_limit) == static_cast<std::ptrdiff_t>(all.size()) - 1);
  CHECK(steering.limit() == base::Millis{300});
  CHECK(steering.reason() == Steering::Reason::not_converging);
}

namespace {

/// A guest that leaves `least` at the end of each pass of 0.4 s, at 10 MB/s: what steering says, in the order of time.
std::vector<Steering::Advice> advice_on_busy(Steering& steering, int seconds, std::uint64_t least,
                                             const std::function<void(int, ports::MoveProgress&)>& also = {}) {
  std::vector<Steering::Advice> all;
  for (int ms = 0; ms < seconds * 1000; ms += 50) {
    ports::MoveProgress progress;
    progress.remaining = {least - least / 500 * static_cast<std::uint64_t>(ms % 400)};
    progress.bytes_per_s = 10e6;
    progress.dirty_bytes_per_s = 12e6;
    if (also) also(ms, progress);
    all.push_back(steering.look(progress, base::Millis{1 + ms}));
    if (all.back() == Steering::Advice::give_up) break;
  }
  return all;
}

}  // namespace

TEST_CASE("the blackout is raised to what the last pass shows to be needed, where that is allowed") {
  Steering steering(Bounds{base::Millis{600}});
  CHECK(steering.limit() == base::Millis{100});
  const auto all = advice_on_busy(steering, 4, 3'000'000);  // at 10 MB/s: 300 ms
  CHECK(steering.needed() == base::Millis{300});
  CHECK(all.size() == 80);
  CHECK(steering.limit() >= base::Millis{360});
  CHECK(steering.limit() < base::Millis{600});
}

TEST_CASE("what is needed to converge is known when it is given up") {
  Steering steering(Bounds{base::Millis{100}});
  CHECK(advice_on_busy(steering, 120, 4'000'000).back() == Steering::Advice::give_up);
  CHECK(steering.needed() == base::Millis{400});
}

TEST_CASE("a guest that is slowed down ever more is not given up on before that has come to its end") {
  const auto given_up_after = [](double slowest) {
    Steering steering(Bounds{base::Millis{100}});
    return advice_on_busy(steering, 300, 4'000'000,
                          [slowest](int ms, ports::MoveProgress& now) { now.slowed = std::min(slowest, ms * 1e-5); })
               .size() *
           50;
  };
  const std::size_t never_slowed = given_up_after(0);
  CHECK(never_slowed < 40'000);
  CHECK(given_up_after(0.2) == never_slowed);
  CHECK(given_up_after(0.99) > 90'000);
  CHECK(given_up_after(0.99) < 101'000);
}

TEST_CASE("post-copy comes after the blackout, once, and ends all steering") {
  Steering steering(Bounds{base::Millis{100}, {}, true});
  // It has begun some seconds after it was asked for.
  const auto all = advice_on_busy(steering, 300, 4'000'000,
                                  [](int ms, ports::MoveProgress& now) { now.postcopy = now.stopped = ms > 9'000; });
  const auto at = std::ranges::find(all, Steering::Advice::start_postcopy);
  REQUIRE(at != all.end());
  CHECK(at - all.begin() < 9'000 / 50);
  CHECK(steering.limit() == base::Millis{100});
  CHECK(std::ranges::count(all, Steering::Advice::start_postcopy) == 1);
  CHECK(std::ranges::count(all, Steering::Advice::give_up) == 0);
}

TEST_CASE("post-copy that does not begin is given up on") {
  Steering steering(Bounds{base::Millis{100}, {}, true});
  const auto all = advice_on_busy(steering, 120, 4'000'000);
  CHECK(std::ranges::count(all, Steering::Advice::start_postcopy) == 1);
  CHECK(all.back() == Steering::Advice::give_up);
}

TEST_CASE("a migration is not gone on with beyond the brownout that is allowed, however well it goes") {
  const auto shrinks = [](int ms) { return 8'000'000'000ull - static_cast<std::uint64_t>(ms) * 100; };
  Steering steering(Bounds{base::Millis{300}, base::Seconds{5}});
  CHECK(advice(steering, 120, shrinks) == std::vector{Steering::Advice::give_up});
  CHECK(steering.reason() == Steering::Reason::brownout);
  Steering by_postcopy(Bounds{base::Millis{300}, base::Seconds{5}, true});
  CHECK(advice(by_postcopy, 8, shrinks) == std::vector{Steering::Advice::start_postcopy});
}

TEST_CASE("what does not change is asked for ever more rarely, up to once a second") {
  Asking asking;
  std::vector<int> asked;
  for (int ms = 0; ms < 20'000; ms += 50) {
    if (asking.due(base::Millis{ms})) asked.push_back(ms);
  }
  REQUIRE(asked.size() > 10);
  CHECK(asked.size() < 50);
  CHECK(asked[0] == 0);
  CHECK(asked[1] == 50);
  // In the first seconds no answer is heard much later than it could be.
  for (std::size_t i = 1; i < asked.size(); ++i) CHECK(asked[i] - asked[i - 1] <= std::max(50, asked[i] / 5 + 50));
  CHECK(asked.back() - asked[asked.size() - 2] == 1'000);
  asking.begin_anew();
  CHECK(asking.due(base::Millis{20'010}));
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
  request.policy.postcopy = true;
  request.policy.auto_converge = false;
  const Request read = request_from(request.vm, to_json(request).dump());
  CHECK(to_json(read) == to_json(request));
  CHECK(read.from.networks == request.from.networks);
  CHECK(read.policy.bandwidth == request.policy.bandwidth);
  CHECK(read.policy.postcopy);
  CHECK_FALSE(read.policy.auto_converge);
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
