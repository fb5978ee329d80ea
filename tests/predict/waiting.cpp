// SPDX-License-Identifier: Apache-2.0
#include "predict/waiting.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

namespace {

using namespace umbra;
using namespace umbra::predict;
using model::Priority;

constexpr double threshold = 0.9;

Estimate estimate(double p, double first_s, double peak = threshold) {
  return {p, {first_s, first_s, first_s}, {peak, peak, peak}};
}

bool acts(const Estimate& e, double window_s, Priority priority = Priority::normal) {
  return cost_of_waiting(e, threshold, window_s, priority) >= cost_of_acting(priority);
}

double percent() {
  return *rc::gen::inRange(0, 101) / 100.0;
}

Estimate any_estimate(double window_s) {
  std::vector<double> first{percent() * window_s, percent() * window_s, percent() * window_s};
  std::vector<double> peak{percent(), percent(), percent()};
  std::ranges::sort(first);
  std::ranges::sort(peak);
  return {percent(), {first[0], first[1], first[2]}, {peak[0], peak[1], peak[2]}};
}

}  // namespace

TEST_CASE("a normal VM that is likely to saturate in the middle of its window is acted on, an unlikely one is not") {
  for (const double window : {300.0, 1800.0, 21600.0}) {
    CHECK(acts(estimate(0.5, window / 2), window));
    CHECK_FALSE(acts(estimate(0.49, window / 2), window));
    CHECK_FALSE(acts(estimate(0.3, window / 2, 1), window));
  }
}

TEST_CASE("what is sure but at the very end of the window may wait, the same at its start may not") {
  CHECK_FALSE(acts(estimate(1, 0.95 * 21600), 21600));
  CHECK(acts(estimate(1, 300), 21600));
  CHECK(acts(estimate(1, 0), 60));
}

TEST_CASE("the lower the priority, the surer a forecast must be") {
  const auto least = [](Priority priority) {
    int p = 0;
    while (!acts(estimate(p / 100.0, 600), 1800, priority)) ++p;
    return p;
  };
  CHECK(least(Priority::critical) == 25);
  CHECK(least(Priority::high) == 34);
  CHECK(least(Priority::normal) == 50);
  CHECK(least(Priority::low) == 84);
}

TEST_CASE("a saturation up to the capacity weighs more than one that touches the threshold") {
  CHECK(cost_of_waiting(estimate(1, 0, 0.9), threshold, 1800, Priority::normal) == 60);
  CHECK(cost_of_waiting(estimate(1, 0, 1), threshold, 1800, Priority::normal) == 90);
  CHECK(cost_of_waiting(estimate(1, 0, 1), 1, 1800, Priority::normal) == 60);
  // Of the peaks, those that saturate: the surer, the more of them.
  const model::Quantiles peak{0.5, 0.92, 1};
  CHECK(cost_of_waiting({1, {}, peak}, threshold, 1800, Priority::normal) == 66);
  CHECK(cost_of_waiting({0.2, {}, peak}, threshold, 1800, Priority::normal) == 18);
}

TEST_CASE("waiting costs the more, the likelier, the sooner and the worse, and the higher the priority") {
  CHECK(rc::check("laws", [] {
    const double window = *rc::gen::element(60.0, 1800.0, 21600.0);
    const Estimate e = any_estimate(window);
    const auto cost = [&](const Estimate& changed, Priority priority = Priority::normal) {
      return cost_of_waiting(changed, threshold, window, priority);
    };
    Estimate likelier = e;
    likelier.p_saturation = std::min(1.0, e.p_saturation + percent());
    RC_ASSERT(cost(likelier) >= cost(e));
    Estimate sooner = e;
    sooner.first_s.p50 = e.first_s.p10;
    RC_ASSERT(cost(sooner) >= cost(e));
    Estimate worse = e;
    worse.peak.p90 = 1;
    RC_ASSERT(cost(worse) >= cost(e));
    RC_ASSERT(cost(e, Priority::critical) >= cost(e, Priority::high));
    RC_ASSERT(cost(e, Priority::normal) >= cost(e, Priority::low));
    RC_ASSERT(cost(e) >= 0);
    RC_ASSERT(cost(e) <= 90);
  }));
}
