// SPDX-License-Identifier: Apache-2.0
#include "predict/scores.hpp"

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "predict/isotonic.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;

Verified said(double p, bool saturated, double now = 0.5, double peak = 0.5) {
  Verified v;
  v.p_saturation = p;
  v.now = now;
  v.peak = {0.4, 0.5, 0.6};
  v.outcome = {saturated, true, peak, 60};
  return v;
}

}  // namespace

TEST_CASE("a rising fit pools what falls, by weight") {
  const std::vector<double> x{1, 2, 3, 4, 5};
  const std::vector<double> y{0, 1, 0, 0, 1};
  const auto levels = isotonic(x, y);
  REQUIRE(levels.size() == 3);
  CHECK(levels[1].mean_y == Approx(1.0 / 3));
  CHECK(levels[1].mean_x == Approx(3));
  CHECK(levels[1].weight == 3);
  CHECK(isotonic_at(x, y)[2] == Approx(1.0 / 3));
}

TEST_CASE("a rising fit rises, keeps the mean, and gives equal inputs one value") {
  CHECK(rc::check("of any set", [](const std::vector<std::pair<unsigned char, bool>>& rows) {
    RC_PRE(!rows.empty());
    std::vector<double> x;
    std::vector<double> y;
    for (const auto& [at, hit] : rows) {
      x.push_back(at % 16);
      y.push_back(hit ? 1 : 0);
    }
    const auto fitted = isotonic_at(x, y);
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += fitted[i] - y[i];
      for (std::size_t j = 0; j < x.size(); ++j) RC_ASSERT((x[i] > x[j] || fitted[i] <= fitted[j] + 1e-12));
    }
    RC_ASSERT(std::abs(sum) < 1e-9);
  }));
}

TEST_CASE("precision, recall and their area are those of the ranking") {
  // From the top: hit, miss, hit, miss. Precision 1, 1/2, 2/3, 1/2.
  const std::vector<Verified> v{said(0.9, true), said(0.8, false), said(0.7, true), said(0.1, false)};
  const Scores s = score(v, 300);
  CHECK(*s.all.average_precision == Approx((1 + 2.0 / 3) / 2));
  CHECK(*s.all.recall_at_precision_80 == Approx(0.5));
  CHECK(*s.all.recall_at_precision_50 == Approx(1));
  CHECK(s.all.saturations == 2);
  CHECK(s.all.brier == Approx((0.01 + 0.64 + 0.09 + 0.01) / 4));
}

TEST_CASE("forecasts of one probability rank as one") {
  const std::vector<Verified> v{said(0.5, true), said(0.5, false), said(0.5, false), said(0.5, true)};
  CHECK(*score(v, 300).all.average_precision == Approx(0.5));
}

TEST_CASE("persistence has no skill over itself, and a perfect forecast has all") {
  std::vector<Verified> v;
  std::vector<double> now;
  for (int i = 0; i < 200; ++i) {
    v.push_back(said(0, i % 3 == 0, (i * 37 % 100) / 100.0));
    now.push_back(v.back().now);
  }
  CHECK(*score(baseline(v, now), 300).all.brier_skill == Approx(0).margin(1e-12));
  CHECK(score(baseline(v, now), 300).all.calibration_error == Approx(0).margin(1e-9));
  for (Verified& one : v) one.p_saturation = one.outcome.saturated ? 1 : 0;
  CHECK(*score(v, 300).all.brier_skill == Approx(1));
  CHECK(score(v, 300).all.calibration_error == 0);
}

TEST_CASE("a peak within its interval counts as covered, and pinball loss weighs the sides") {
  const std::vector<Verified> v{said(0, false, 0.5, 0.55), said(0, false, 0.5, 0.8)};
  const Scores s = score(v, 300);
  CHECK(s.peak.coverage == 0.5);
  const double inside = 0.1 * 0.15 + 0.5 * 0.05 + 0.1 * 0.05;
  const double above = 0.1 * 0.4 + 0.5 * 0.3 + 0.9 * 0.2;
  CHECK(s.peak.pinball == Approx((inside + above) / 2));
}

TEST_CASE("where nothing saturates there is no precision to tell") {
  const std::vector<Verified> v{said(0.2, false), said(0.1, false)};
  const Scores s = score(v, 300);
  CHECK_FALSE(s.all.average_precision);
  CHECK_FALSE(s.all.recall_at_precision_50);
  CHECK_FALSE(s.lead.median_lead_s);
}

TEST_CASE("an onset counts once, with the earliest alarm before it as its lead") {
  std::vector<Verified> v;
  for (int minute = 0; minute < 5; ++minute) {
    Verified one = said(minute >= 2 ? 0.9 : 0.1, true);
    one.time = 60.0 * minute;
    one.outcome.first_s = 300 - one.time;  // all see the same event
    v.push_back(one);
  }
  for (int minute = 5; minute < 9; ++minute) {
    Verified one = said(0.0, false);
    one.time = 60.0 * minute;
    v.push_back(one);
  }
  v[0].p_saturation = 0.05;
  const Scores s = score(v, 300);
  CHECK(s.lead.events == 1);
  CHECK(s.lead.warned == 1);
  CHECK(*s.lead.median_lead_s == 300);  // recall at precision 0.5 takes the lowest level that is right half the time
}
