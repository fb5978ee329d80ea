// SPDX-License-Identifier: Apache-2.0
#include "predict/curves.hpp"

namespace umbra::predict {

std::vector<PrecisionRecall> thinned(std::span<const PrecisionRecall> curve, std::size_t most) {
  if (curve.size() <= most) return {curve.begin(), curve.end()};
  std::vector<PrecisionRecall> kept{curve.front()};
  const auto step_of = [&](const PrecisionRecall& p) {
    return static_cast<std::size_t>(p.recall * static_cast<double>(most));
  };
  for (const PrecisionRecall& point : curve.subspan(1, curve.size() - 2)) {
    if (step_of(point) > step_of(kept.back())) kept.push_back(point);
  }
  kept.push_back(curve.back());
  return kept;
}

PeakShares peak_shares(std::span<const Verified> forecasts) {
  constexpr double rounding = 1e-9;
  PeakShares shares;
  for (const Verified& v : forecasts) {
    shares.below_p10 += v.outcome.peak < v.peak.p10 - rounding ? 1 : 0;
    shares.below_p50 += v.outcome.peak < v.peak.p50 - rounding ? 1 : 0;
    shares.above_p90 += v.outcome.peak > v.peak.p90 + rounding ? 1 : 0;
  }
  if (forecasts.empty()) return shares;
  const auto n = static_cast<double>(forecasts.size());
  return {shares.below_p10 / n, shares.below_p50 / n, shares.above_p90 / n};
}

}  // namespace umbra::predict
