// SPDX-License-Identifier: Apache-2.0
#include "predict/curves.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>

namespace {

using namespace umbra::predict;

double area(const std::vector<PrecisionRecall>& curve) {
  double sum = 0;
  double recall = 0;
  for (const PrecisionRecall& p : curve) {
    sum += (p.recall - recall) * p.precision;
    recall = p.recall;
  }
  return sum;
}

/// Forecasts of distinct levels that are right the more often the higher they are.
std::vector<PrecisionRecall> some_curve(std::size_t forecasts) {
  std::vector<Verified> all(forecasts);
  for (std::size_t i = 0; i < forecasts; ++i) {
    all[i].p_saturation = static_cast<double>(i) / static_cast<double>(forecasts);
    all[i].outcome.saturated = all[i].p_saturation * 100 > *rc::gen::inRange(0, 100);
  }
  return precision_recall(all);
}

}  // namespace

TEST_CASE("a thinned curve keeps its ends, its area and its order") {
  CHECK(rc::check("of any forecasts", [] {
    const auto whole = some_curve(2000);
    const auto few = thinned(whole, 100);
    RC_ASSERT(few.size() <= 102u);
    RC_ASSERT(few.front().recall == whole.front().recall);
    RC_ASSERT(few.back().recall == whole.back().recall);
    RC_ASSERT(few.back().precision == whole.back().precision);
    RC_ASSERT(std::ranges::is_sorted(few, {}, &PrecisionRecall::recall));
    RC_ASSERT(std::abs(area(few) - area(whole)) < 0.02);
  }));
}

TEST_CASE("a curve of few points stays as it is") {
  const std::vector<PrecisionRecall> curve{{1, 0.1}, {0.5, 0.2}, {0.4, 0.2}};
  CHECK(thinned(curve, 3).size() == 3);
  CHECK(thinned({}, 3).empty());
}

TEST_CASE("peaks are counted on the side of the quantile where they came") {
  std::vector<Verified> all(4);
  const std::vector<double> peaks{0.1, 0.45, 0.6, 0.95};
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].peak = {0.2, 0.5, 0.6};
    all[i].outcome.peak = peaks[i];
  }
  const PeakShares shares = peak_shares(all);
  CHECK(shares.below_p10 == 0.25);
  CHECK(shares.below_p50 == 0.5);
  CHECK(shares.above_p90 == 0.25);  // one that is p90 itself is within
}
