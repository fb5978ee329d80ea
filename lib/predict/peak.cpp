// SPDX-License-Identifier: Apache-2.0
#include "predict/peak.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::predict {
namespace {

using Below = std::array<double, peak_ladder.size()>;

/// The first rung above the value at the origin. Many peaks are that value, of what stands still: how likely they are
/// shows only in what is missing below that rung, and a straight line would lay them out between the two. The last
/// quantile is left on the line: many other peaks are a hair above.
constexpr std::size_t first_rise = 10;
static_assert(peak_ladder[first_rise - 1] == 0);

/// The probability that the peak stays below each rung; rising.
Below stays_below(std::span<const float> log_odds) {
  Below below{};
  double so_far = 0;
  for (std::size_t i = 0; i < below.size(); ++i) {
    so_far = std::max(so_far, 1 / (1 + std::exp(static_cast<double>(log_odds[i]))));
    below[i] = so_far;
  }
  return below;
}

double quantile(const Below& below, double rank, bool on_the_line) {
  const auto above = std::lower_bound(below.begin(), below.end(), rank);
  if (above == below.begin()) return peak_ladder.front();
  if (above == below.end()) return peak_ladder.back();
  const auto i = static_cast<std::size_t>(above - below.begin());
  if (i == first_rise && !on_the_line) return 0;
  const double part = (rank - below[i - 1]) / (below[i] - below[i - 1]);
  return peak_ladder[i - 1] + part * (peak_ladder[i] - peak_ladder[i - 1]);
}

}  // namespace

void append_ladder(const LevelColumns& columns, std::span<const float> course, double now, std::vector<float>& rows) {
  const double scale = columns.scale(course);
  for (const double rung : peak_ladder) {
    rows.insert(rows.end(), course.begin(), course.end());
    columns.append(course, now + rung * scale, rows);
  }
}

std::array<double, model::learned_quantiles.size()> peak_quantiles(
    std::span<const float> log_odds, double now, double scale,
    const std::array<double, model::learned_quantiles.size()>& ranks) {
  const Below below = stays_below(log_odds);
  std::array<double, model::learned_quantiles.size()> quantiles{};
  for (std::size_t i = 0; i < quantiles.size(); ++i)
    quantiles[i] = now + scale * quantile(below, ranks[i], i + 1 == quantiles.size());
  return quantiles;
}

RankRange peak_rank(std::span<const float> log_odds, double now, double scale, double peak) {
  constexpr double rounding = 1e-6;  // of a reading that is kept in a float
  const Below below = stays_below(log_odds);
  const double rung = (peak - now) / scale;
  const auto both = [](double rank) { return RankRange{rank, rank}; };
  if (std::abs(peak - now) < rounding) return {below[first_rise - 1], below[first_rise]};
  const auto above = std::upper_bound(peak_ladder.begin(), peak_ladder.end(), rung);
  if (above == peak_ladder.begin()) return both(below.front());
  if (above == peak_ladder.end()) return both(below.back());
  const auto i = static_cast<std::size_t>(above - peak_ladder.begin());
  const double part = (rung - peak_ladder[i - 1]) / (peak_ladder[i] - peak_ladder[i - 1]);
  const double rank = below[i - 1] + part * (below[i] - below[i - 1]);
  return {rank, i == first_rise ? below[i] : rank};
}

}  // namespace umbra::predict
