// SPDX-License-Identifier: Apache-2.0
#pragma once
// How good the quantiles of the time to saturation were, where it came; beside what the times of the past would have
// said.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "predict/scores.hpp"

namespace umbra::predict {

/// Of the origins that saturated within their window.
struct TimeScores {
  std::size_t saturations = 0;
  double pinball_s = 0;                 ///< mean, summed over p10, p50 and p90, in seconds
  std::optional<double> pinball_ratio;  ///< to the plain times'
  double coverage = 0;                  ///< share of times within p10..p90
  double median_error_s = 0;            ///< the median distance of p50 from the time that it took
};

struct Times {
  TimeScores all;
  TimeScores onsets;  ///< with a quiet window before: those that begin above saturate with their next reading, mostly
};

/// For each forecast the quantiles of the times that it took origins of any VM whose windows had ended by then: those
/// at the threshold for one at it, the others for one below. Until there are enough, every time within the window is as
/// likely. Nothing that comes after an origin is looked at.
std::vector<model::Quantiles> plain_times(std::span<const Verified> forecasts, double window_s);

/// `plain` has one for each forecast.
Times time_scores(std::span<const Verified> forecasts, std::span<const model::Quantiles> plain);

}  // namespace umbra::predict
