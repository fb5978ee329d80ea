// SPDX-License-Identifier: Apache-2.0
#include "predict/tree_forecaster.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "predict/outcome.hpp"
#include "predict/stillness.hpp"

namespace umbra::predict {
namespace {

constexpr std::size_t most_at_once = 2048;  // a question takes some 15 kB while its ladder is climbed

double probability(double log_odds) {
  return 1 / (1 + std::exp(-log_odds));
}

/// "now" is its first column.
std::span<const float> course_of(const ports::Matrix& features, std::size_t row) {
  return features.values.subspan(row * features.columns, course_columns());
}

model::Quantiles in_order(std::array<double, model::learned_quantiles.size()> q) {
  std::sort(q.begin(), q.end());
  return {six_decimals(q[0]), six_decimals(q[1]), six_decimals(q[2])};
}

/// Saturation is seen with a reading: the nearest times within the window at which one is due.
model::Quantiles at_readings(const model::Quantiles& first_s, double step_s, double window_s) {
  if (!(step_s > 0 && step_s <= window_s)) return first_s;
  const double most = std::floor(window_s / step_s + 1e-9);
  const auto nearest = [&](double s) { return six_decimals(std::clamp(std::round(s / step_s), 1.0, most) * step_s); };
  return {nearest(first_s.p10), nearest(first_s.p50), nearest(first_s.p90)};
}

}  // namespace

LoadedModel::LoadedModel(const model::ForecastModel& model, const ports::TreeGrower& grower) {
  if (model.features != feature_names()) {
    throw base::Error(base::Kind::unsupported, "the model " + model.name() + " was trained by another version of umbra",
                      "umbra model train");
  }
  const auto lacks = [](const model::SavedTrees& saved) { return saved.empty(); };
  const model::ForecastLayer& ground = model.layers.front();
  if (lacks(ground.saturation) || lacks(ground.peak) || std::ranges::any_of(ground.first, lacks)) {
    throw base::Error(base::Kind::corrupt, "the model " + model.name() + " lacks some of its trees",
                      "umbra model train");
  }
  m_model = {.features = model.features,
             .layers = {},
             .log_odds = model.log_odds,
             .peak_ranks = model.peak_ranks,
             .scores = {}};
  for (const model::ForecastLayer& layer : model.layers) load(layer, grower);
}

LoadedModel LoadedModel::with(const model::ForecastLayer& layer, const ports::TreeGrower& grower) const {
  LoadedModel more = *this;
  more.load(layer, grower);
  return more;
}

void LoadedModel::load(const model::ForecastLayer& layer, const ports::TreeGrower& grower) {
  const auto add = [&](Layers& layers, const model::SavedTrees& saved) {
    if (!saved.empty()) layers.push_back({grower.load(saved), static_cast<float>(layer.weight)});
  };
  m_model.layers.push_back({layer.name, layer.weight, layer.training, {}, {}, {}});
  add(m_saturation, layer.saturation);
  add(m_peak, layer.peak);
  for (std::size_t i = 0; i < m_first.size(); ++i) add(m_first[i], layer.first[i]);
}

std::vector<float> LoadedModel::summed(const Layers& layers, const ports::Matrix& features) {
  std::vector<float> sum;
  for (const Weighed& layer : layers) {
    std::vector<float> next = layer.trees->values(features, sum);
    for (std::size_t i = 0; i < sum.size(); ++i) next[i] = sum[i] + layer.weight * (next[i] - sum[i]);
    sum = std::move(next);
  }
  return sum;
}

std::vector<float> LoadedModel::log_odds(const ports::Matrix& features) const {
  return summed(m_saturation, features);
}

std::vector<float> LoadedModel::peak_log_odds(const ports::Matrix& levels) const {
  return summed(m_peak, levels);
}

std::vector<float> LoadedModel::first(const ports::Matrix& features, std::size_t quantile) const {
  return summed(m_first.at(quantile), features);
}

Sums LoadedModel::sums(const ports::Matrix& features) const {
  std::vector<float> rungs;
  for (std::size_t row = 0; row < features.rows; ++row) {
    const auto course = course_of(features, row);
    append_ladder(m_levels, course, course.front(), rungs);
  }
  Sums sums;
  sums.log_odds = log_odds(features);
  sums.peak = peak_log_odds({rungs, features.rows * peak_ladder.size(), course_columns() + m_levels.count()});
  for (std::size_t i = 0; i < sums.first.size(); ++i) sums.first[i] = first(features, i);
  return sums;
}

Estimate LoadedModel::estimate(const Sums& sums, const ports::Matrix& features, std::size_t row, double ceiling,
                               double window_s) const {
  Estimate estimate;
  estimate.p_saturation = six_decimals(probability(m_model.log_odds(sums.log_odds[row])));

  const auto course = course_of(features, row);
  const auto rungs = std::span(sums.peak).subspan(row * peak_ladder.size(), peak_ladder.size());
  auto peak = peak_quantiles(rungs, course.front(), m_levels.scale(course), m_model.peak_ranks);
  std::array<double, model::learned_quantiles.size()> first{};
  for (std::size_t i = 0; i < peak.size(); ++i) {
    peak[i] = std::clamp(peak[i], 0.0, ceiling);
    first[i] = std::clamp(static_cast<double>(sums.first[i][row]), 0.0, 1.0) * window_s;
  }
  estimate.peak = in_order(peak);
  estimate.first_s = in_order(first);
  return estimate;
}

void TreeForecaster::ask(const View& view) {
  append_features(view, m_features);
  const Past& past = view.past;
  const double ceiling = std::max(1.0, past.highest(past.whole()));
  m_questions.push_back(
      {ceiling, view.crossings.window_s(), step_at(past, past.size() - 1), stays_above(view), line_says(view)});
}

std::vector<Estimate> TreeForecaster::answers() {
  std::vector<Estimate> estimates;
  if (m_questions.empty()) return estimates;
  const std::size_t columns = m_features.size() / m_questions.size();
  for (std::size_t from = 0; from < m_questions.size(); from += most_at_once) {
    const std::size_t rows = std::min(most_at_once, m_questions.size() - from);
    const ports::Matrix features{std::span(m_features).subspan(from * columns, rows * columns), rows, columns};
    const Sums sums = m_model->sums(features);
    for (std::size_t row = 0; row < rows; ++row) {
      const Question& q = m_questions[from + row];
      const Estimate trees = m_model->estimate(sums, features, row, q.ceiling, q.window_s);
      Estimate& told = estimates.emplace_back(q.line ? blend(trees, *q.line) : trees);
      told.p_saturation = std::max(told.p_saturation, six_decimals(q.stays_above));
      told.first_s = at_readings(told.first_s, q.step_s, q.window_s);
    }
  }
  m_features.clear();
  m_questions.clear();
  return estimates;
}

}  // namespace umbra::predict
