// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a picture of a back-test shows, as few values as can be told apart in it, however many forecasts there were.

#include <cstddef>
#include <span>
#include <vector>

#include "predict/scores.hpp"

namespace umbra::predict {

/// At most about `most` points of the curve: the first, the last, and the first beyond each equal step of recall.
std::vector<PrecisionRecall> thinned(std::span<const PrecisionRecall> curve, std::size_t most);

/// Shares of peaks on the sides of each quantile, which say whether they are where they claim to be.
struct PeakShares {
  double below_p10 = 0;  ///< 0.1 where it is right
  double below_p50 = 0;  ///< 0.5
  double above_p90 = 0;  ///< 0.1
};
PeakShares peak_shares(std::span<const Verified> forecasts);

}  // namespace umbra::predict
