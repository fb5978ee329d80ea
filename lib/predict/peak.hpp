// SPDX-License-Identifier: Apache-2.0
#pragma once
// The distribution of a window's peak, from trees that tell how likely the peak reaches a level: one ensemble for all
// levels, each asked on a ladder of them. Unlike trees for each quantile it takes what it sees for what it is where the
// peak either stays or jumps, and its quantiles never cross.

#include <array>
#include <span>
#include <vector>

#include "model/forecast_model.hpp"
#include "predict/level_columns.hpp"

namespace umbra::predict {

/// Rungs of the ladder, in scales of the course above the value at the origin.
inline constexpr std::array peak_ladder{-3.0, -2.0, -1.4, -1.0, -0.7, -0.45, -0.25, -0.12, -0.04, 0.0, 0.04, 0.12, 0.25,
                                        0.45, 0.7,  1.0,  1.4,  1.9,  2.5,   3.2,   4.0,   5.0,   6.5, 8.5,  11.0};

/// Appends a row per rung: the course, then the level's columns.
void append_ladder(const LevelColumns& columns, std::span<const float> course, double now, std::vector<float>& rows);

/// The levels that the peak stays below with the probabilities `ranks`, by straight lines between rungs; but what would
/// lie less than a rung above `now` is `now`, save for the last. `log_odds` of the rungs' being reached, rising or not.
std::array<double, model::learned_quantiles.size()> peak_quantiles(
    std::span<const float> log_odds, double now, double scale,
    const std::array<double, model::learned_quantiles.size()>& ranks);

/// Which ranks' quantiles are `peak`: of those below `from` the quantiles lie below it, of those above `to` above.
struct RankRange {
  double from = 0;
  double to = 0;
};
RankRange peak_rank(std::span<const float> log_odds, double now, double scale, double peak);

}  // namespace umbra::predict
