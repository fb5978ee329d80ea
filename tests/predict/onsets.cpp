// SPDX-License-Identifier: Apache-2.0
#include "predict/onsets.hpp"

#include <catch2/catch.hpp>

namespace {

using namespace umbra::predict;

constexpr double window_s = 600;

/// A forecast after a quiet window; of an onset so many seconds later where `first_s` is given.
Verified quiet(std::size_t vm, double time, double p, std::optional<double> first_s = {}) {
  Verified v;
  v.vm = vm;
  v.time = time;
  v.p_saturation = p;
  v.outcome = {first_s.has_value(), true, first_s ? 0.95 : 0.5, first_s.value_or(missing)};
  return v;
}

}  // namespace

TEST_CASE("what several forecasts say of one onset is one event, warned of from the first alarm on") {
  const std::vector<Verified> v{quiet(0, 0, 0.1, 600), quiet(0, 300, 0.4, 300), quiet(0, 540, 0.3, 60),
                                quiet(1, 300, 0.2, 300)};
  const auto events = onsets_of(v, 0.3, window_s);
  REQUIRE(events.size() == 2);
  CHECK(events[0].time == 600);
  CHECK(events[0].warned_at == 300);
  CHECK(events[0].highest_p == 0.4);
  CHECK(events[0].peak == 0.95);
  CHECK(events[1].vm == 1);  // at the same time, of another VM
  CHECK_FALSE(events[1].warned_at);
}

TEST_CASE("an alarm during saturation is no false alarm, and none that came true is") {
  std::vector<Verified> v{quiet(0, 0, 0.9), quiet(0, 300, 0.9, 60)};
  v.front().outcome.onset = false;
  CHECK(false_alarms_of(v, 0.3, window_s).empty());
}

TEST_CASE("false alarms within a window of each other are one, at the one that said the most") {
  const std::vector<Verified> v{quiet(0, 0, 0.4),    quiet(0, 500, 0.8),  quiet(0, 1000, 0.5),
                                quiet(0, 1300, 0.1), quiet(0, 1700, 0.6), quiet(1, 1800, 0.7)};
  const auto events = false_alarms_of(v, 0.3, window_s);
  REQUIRE(events.size() == 3);
  CHECK(events[0].time == 500);
  CHECK(events[0].warned_at == 0);
  CHECK(events[0].highest_p == 0.8);
  CHECK(events[1].time == 1700);  // 700 s after the one before
  CHECK(events[2].vm == 1);
}
