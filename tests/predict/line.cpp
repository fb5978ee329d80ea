// SPDX-License-Identifier: Apache-2.0
#include "predict/line.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numbers>

#include "series.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;
using namespace umbra::predict::test;

constexpr double window = 300;
constexpr double sigma = 0.01;

std::optional<LineSays> says_of(const Past& past, double window_s = window, double threshold = 0.9) {
  Crossings crossings(threshold, window_s);
  crossings.follow(past);
  return line_says({past, crossings, nullptr, model::Resource::cpu});
}

/// A reading each second of that shape, which gets the seconds since the first, up to `until`.
std::optional<LineSays> line_at(double until, const std::function<double(double)>& shape, double step = 1,
                                double noise = sigma) {
  Noise about(7, noise);
  Past past;
  for (double t = 0; t <= until; t += step) {
    const double value = std::clamp(shape(t) + about(), 0.0, 1.0);
    past.append(1.7e9 + t, value, value);
  }
  return says_of(past);
}

double quiet_then_ramp(double t) {
  return 0.2 + 0.8 * std::clamp((t - 900) / 240, 0.0, 1.0);
}

double wave(double t) {
  return 0.5 + 0.3 * std::sin(2 * std::numbers::pi * t / (2 * window));
}

}  // namespace

TEST_CASE("a ramp is told long before it is over, however long the quiet time before") {
  const auto early = line_at(900 + 105, quiet_then_ramp);
  REQUIRE(early);
  CHECK(early->weight > 0.4);
  CHECK(early->estimate.p_saturation > 0.6);
  CHECK(early->estimate.first_s.p50 == Approx(105).margin(10));
  const auto later = line_at(900 + 160, quiet_then_ramp);
  REQUIRE(later);
  CHECK(later->estimate.p_saturation > early->estimate.p_saturation);
  CHECK(later->estimate.first_s.p50 == Approx(50).margin(8));
}

TEST_CASE("the longer a line has been seen, the longer it is believed to go on") {
  const auto leak = [](double t) { return 0.3 + t / 2000; };
  const auto after = [&](double seen) {
    const auto says = line_at(seen, leak);
    return says ? says->estimate.p_saturation : 0;
  };
  REQUIRE(line_at(920, leak));
  CHECK(after(920) > 0.75);
  CHECK(after(1100) > after(920));
  // As much is missing, by a line that was seen for a minute.
  const auto young = line_at(60, [](double t) { return 0.6 + t / 2000; });
  REQUIRE(young);
  CHECK(young->estimate.p_saturation < 0.6);
}

TEST_CASE("a rise that has ended is not drawn further") {
  const auto plateau = [](double t) { return 0.2 + 0.5 * std::clamp((t - 400) / 240, 0.0, 1.0); };
  for (const double since : {100.0, 200.0, 300.0, 400.0, 600.0}) {
    CAPTURE(since);
    const auto says = line_at(640 + since, plateau);
    CHECK((!says || says->weight * says->estimate.p_saturation < 0.1));
  }
}

TEST_CASE("a wave that was seen to turn is no ramp") {
  const auto first = line_at(0.3 * window, wave);  // nothing tells it from a ramp yet
  REQUIRE(first);
  CHECK(first->weight == 0.6);
  for (double until = 2.6 * window; until < 4.6 * window; until += 10) {
    CAPTURE(until);
    const auto says = line_at(until, wave);
    CHECK((!says || says->weight * says->estimate.p_saturation < 0.18));
  }
}

TEST_CASE("there is no line in noise, nor where it is too late, nor where trees know ramps") {
  unsigned lines = 0;
  for (double until = 60; until < 1000; until += 20)
    lines += line_at(
                 until, [](double) { return 0.5; }, 1, 0.1)
                 ? 1
                 : 0;
  CHECK(lines <= 2);
  CHECK_FALSE(line_at(900 + 225, quiet_then_ramp));
  CHECK_FALSE(line_at(900 + 105, quiet_then_ramp, 5));
}

TEST_CASE("once the past reaches over a window, a line only warns") {
  const Estimate trees{0.2, {10, 20, 30}, {0.5, 0.6, 0.7}};
  LineSays line{{0.1, {100, 110, 120}, {0.2, 0.3, 0.4}}, 0.5, true};
  CHECK(blend(trees, line).p_saturation == 0.2);
  CHECK(blend(trees, line).peak.p50 == 0.6);
  line.only_raises = false;
  CHECK(blend(trees, line).p_saturation == Approx(0.15));
  CHECK(blend(trees, line).peak.p50 == Approx(0.45));
  CHECK(blend(trees, line).first_s.p50 == Approx(50));
  CHECK(line_at(window - 60, [](double t) { return 0.8 - t / 1000; })->only_raises == false);
  CHECK(line_at(window + 60, [](double t) { return 0.8 - t / 1000; })->only_raises == true);
}

TEST_CASE("the peak is that of readings, however many each dot of the line is the mean of") {
  const double window_s = GENERATE(150.0, 1200.0);  // means of 3 and of 24
  constexpr unsigned tries = 60;
  unsigned told = 0;
  unsigned inside = 0;
  for (unsigned seed = 1; seed <= tries; ++seed) {
    Noise noise(seed, 0.05);
    Past past;
    const auto value = [&](double t) { return 0.3 + 0.1 * t / window_s + noise(); };
    double t = 0;
    for (; t < 3 * window_s; ++t) past.append(1.7e9 + t, value(t), 0.5);
    const auto says = says_of(past, window_s, 0.99);
    double peak = 0;
    for (; t < 4 * window_s; ++t) peak = std::max(peak, value(t));
    if (!says) continue;
    ++told;
    inside += says->estimate.peak.p10 <= peak && peak <= says->estimate.peak.p90;
  }
  CHECK(told > tries / 2);
  CHECK(inside / double(told) > 0.6);
}

TEST_CASE("what has just fallen below the threshold is not above it") {
  constexpr double long_window = 3200;  // a dot is the mean of ten readings
  Past past;
  for (double t = 0; t <= 9600; ++t) {
    const double value = 0.293 + 0.002 * std::min(9600 - t, 353.0);
    past.append(1.7e9 + t, value, value);
  }
  const auto says = says_of(past, long_window, 0.3);
  REQUIRE(says);
  CHECK(says->estimate.p_saturation < 0.3);
}

TEST_CASE("a stray reading of long ago is no window that trees know") {
  const double before = GENERATE(3600.0, 40 * 86400.0, 200 * 86400.0);
  CAPTURE(before);
  Past past;
  past.append(1.7e9 - before, 0.5, 0.5);
  for (double t = 0; t < 0.6 * window; ++t) past.append(1.7e9 + t, 0.8 - t / 1000, 0.8);
  const auto says = says_of(past);
  REQUIRE(says);
  CHECK_FALSE(says->only_raises);
  CHECK(says->weight == 0.6);
}
