// SPDX-License-Identifier: Apache-2.0
#include "predict/correcting.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "predict/isotonic.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

constexpr double least_weight = 60;  // of a step of the correction
constexpr double most_log_odds = 12;

double log_odds(double p) {
  return std::clamp(std::log(p / (1 - p)), -most_log_odds, most_log_odds);
}

/// What the trees say, in batches that memory holds.
void each_batch(const LoadedModel& model, const Examples& examples,
                const std::function<void(std::size_t from, const ports::Matrix&, const Sums&)>& each) {
  constexpr std::size_t most = 8192;
  const std::size_t width = examples.matrix().columns;
  for (std::size_t from = 0; from < examples.rows(); from += most) {
    const std::size_t rows = std::min(most, examples.rows() - from);
    const ports::Matrix part{std::span(examples.features).subspan(from * width, rows * width), rows, width};
    each(from, part, model.sums(part));
  }
}

}  // namespace

Said said_of(const LoadedModel& model, const Examples& examples) {
  const LevelColumns columns;
  Said said;
  each_batch(model, examples, [&](std::size_t from, const ports::Matrix& part, const Sums& sums) {
    said.log_odds.insert(said.log_odds.end(), sums.log_odds.begin(), sums.log_odds.end());
    for (std::size_t row = 0; row < part.rows; ++row) {
      const auto course = part.values.subspan(row * part.columns, course_columns());
      const auto rungs = std::span(sums.peak).subspan(row * peak_ladder.size(), peak_ladder.size());
      const double now = examples.value[from + row];
      said.peak_rank.push_back(peak_rank(rungs, now, columns.scale(course), now + examples.rise[from + row]));
    }
  });
  return said;
}

model::Correction correction_of(const Said& said, const Examples& examples) {
  const std::vector<double> x(said.log_odds.begin(), said.log_odds.end());
  const std::vector<double> y(examples.saturated.begin(), examples.saturated.end());
  model::Correction correction;
  Level pooled;
  const auto put = [&] {
    const double p = (pooled.mean_y * pooled.weight + 0.5) / (pooled.weight + 1);
    if (!correction.to.empty() && log_odds(p) <= correction.to.back()) return;
    correction.from.push_back(pooled.mean_x);
    correction.to.push_back(log_odds(p));
  };
  // Through the centres of levels with enough in them.
  for (const Level& level : isotonic(x, y)) {
    const double weight = pooled.weight + level.weight;
    pooled = {(pooled.mean_x * pooled.weight + level.mean_x * level.weight) / weight,
              (pooled.mean_y * pooled.weight + level.mean_y * level.weight) / weight, weight};
    if (pooled.weight < least_weight) continue;
    put();
    pooled = {};
  }
  if (pooled.weight > 0) put();
  return correction;
}

std::array<double, model::learned_quantiles.size()> peak_ranks_of(const Said& said) {
  std::array<double, model::learned_quantiles.size()> ranks = model::learned_quantiles;
  if (said.peak_rank.empty()) return ranks;
  std::vector<double> sorted;
  for (double& rank : ranks) {
    sorted.clear();
    // A peak that is the quantile itself lies within p10 to p90, from either side.
    const double side = rank < 0.5 ? 0 : rank > 0.5 ? 1 : 0.5;
    for (const RankRange& r : said.peak_rank) sorted.push_back(std::lerp(r.to, r.from, side));
    std::sort(sorted.begin(), sorted.end());
    rank = sorted[static_cast<std::size_t>(rank * static_cast<double>(sorted.size()))];
  }
  return ranks;
}

std::vector<double> probabilities(const LoadedModel& model, const Examples& examples) {
  std::vector<double> all;
  for (const float raw : model.log_odds(examples.matrix())) {
    all.push_back(1 / (1 + std::exp(-model.values().log_odds(raw))));
  }
  return all;
}

std::vector<Verified> verified(const LoadedModel& model, const Examples& examples) {
  constexpr double any_window = 1;
  std::vector<Verified> all;
  each_batch(model, examples, [&](std::size_t from, const ports::Matrix& part, const Sums& sums) {
    for (std::size_t row = 0; row < part.rows; ++row) {
      const std::size_t i = from + row;
      const double now = examples.value[i];
      const double peak = now + examples.rise[i];
      const Estimate said = model.estimate(sums, part, row, std::max(1.0, now), any_window);
      const Outcome came{examples.saturated[i] > 0, examples.onset[i] > 0, peak, examples.first[i]};
      all.push_back({0, examples.time[i], now, said.p_saturation, said.peak, came});
    }
  });
  return all;
}

}  // namespace umbra::predict
