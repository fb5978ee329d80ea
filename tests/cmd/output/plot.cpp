// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/plot.hpp"

#include <array>
#include <catch2/catch.hpp>

#include "base/clock.hpp"

namespace {

using namespace umbra;
using namespace umbra::cmd;

double unix_of(std::string_view time) {
  return base::Seconds(base::parse_rfc3339(time)->time_since_epoch()).count();
}

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
  std::vector<std::string> all;
  for (const Tick& tick : ticks) all.push_back(tick.label + (tick.below.empty() ? "" : "|" + tick.below));
  return all;
}

using Labels = std::vector<std::string>;

}  // namespace

TEST_CASE("an axis of numbers has round figures, as many as wanted") {
  CHECK(labels(number_ticks({0, 1}, 5)) == Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(number_ticks({0, 1.09}, 5)) == Labels{"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(number_ticks({0.31, 2.9}, 5)) == Labels{"0.5", "1.0", "1.5", "2.0", "2.5"});
  CHECK(number_ticks({1, 1}, 5).empty());
}

TEST_CASE("an axis of time has whole hours of UTC and tells the day where it begins") {
  const Range night{unix_of("2026-11-24T21:40:00Z"), unix_of("2026-11-25T02:20:00Z")};
  CHECK(labels(time_ticks(night, 6)) == Labels{"22:00|2026-11-24", "23:00", "00:00|2026-11-25", "01:00", "02:00"});
}

TEST_CASE("an axis of time keeps to its number of ticks from seconds to years") {
  const double from = unix_of("2026-11-24T21:40:07Z");
  for (const double length : {40.0, 600.0, 7200.0, 86400.0, 1e6, 1e7, 1e9}) {
    const auto ticks = time_ticks({from, from + length}, 12);
    INFO(length);
    CHECK(ticks.size() >= 3);
    CHECK(ticks.size() <= 12);
  }
  CHECK(labels(time_ticks({from, from + 40}, 4))[0] == "21:40:10|2026-11-24");
  CHECK(labels(time_ticks({from, from + 3e5}, 4))[0] == "2026-11-25");
}

TEST_CASE("what lies beyond an axis is drawn at its end") {
  Markup out;
  const Plot plot(out, {10, 20, 100, 50}, {0, 1}, {0, 1});
  plot.line(std::array{Point{0, 0}, Point{0.5, 1}, Point{2, -1}}, "s");
  CHECK(out.take() == "<path class=\"line s\" d=\"M10 70L60 20L110 70\"/>");
}
