// SPDX-License-Identifier: Apache-2.0
#include "predict/growing.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.hpp"
#include "predict/peak.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

/// Levels to ask of the peak: some that other origins' peaks reached, some about where it stands, some anywhere.
double asked_level(const Examples& examples, std::span<const double> scales, std::size_t row, Dice& dice) {
  const double kind = dice.share();
  const double now = examples.value[row];
  if (kind < 0.5) {
    const std::size_t other = dice.below(examples.rows());
    return now + scales[row] * std::clamp(examples.rise[other] / scales[other], -8.0, 12.0);
  }
  if (kind < 0.75) return now + scales[row] * 2 * (dice.share() + dice.share() - 1);
  if (kind < 0.9) return 1.02 * dice.share();
  return now - scales[row] * 2 * std::log(1 - dice.share());
}

struct Levels {
  std::vector<float> features;
  std::vector<float> reached;
  ports::Matrix matrix() const { return {features, reached.size(), features.size() / reached.size()}; }
};

Levels levels_of(const Examples& examples, std::uint64_t seed) {
  const LevelColumns columns;
  const ports::Matrix matrix = examples.matrix();
  const auto course = [&](std::size_t row) { return matrix.values.subspan(row * matrix.columns, course_columns()); };
  std::vector<double> scales;
  for (std::size_t row = 0; row < matrix.rows; ++row) scales.push_back(columns.scale(course(row)));
  Levels levels;
  levels.features.reserve(matrix.rows * (course_columns() + columns.count()));
  Dice dice(seed);
  for (std::size_t row = 0; row < matrix.rows; ++row) {
    const double level = asked_level(examples, scales, row, dice);
    levels.features.insert(levels.features.end(), course(row).begin(), course(row).end());
    columns.append(course(row), level, levels.features);
    levels.reached.push_back(examples.value[row] + examples.rise[row] >= static_cast<float>(level) ? 1.0f : 0.0f);
  }
  return levels;
}

/// Those that saturated, with the time it took as label.
Examples saturated_of(const Examples& examples) {
  return examples.where([&](std::size_t row) { return examples.saturated[row] > 0; });
}

/// Grows the parts of a layer one by one.
class Nursery {
 public:
  Nursery(const LoadedModel* under, const ports::TreeGrower& grower, const LayerGrowth& growth)
      : m_under(under), m_grower(grower), m_growth(growth) {}

  model::SavedTrees saturation(const Examples& examples) const {
    return grown(examples.matrix(), examples.saturated, {}, m_growth.saturation, &LoadedModel::log_odds);
  }

  model::SavedTrees peak(const Examples& examples, std::uint64_t seed) const {
    const Levels levels = levels_of(examples, seed);
    ports::Growth growth = m_growth.peak;
    growth.falling = LevelColumns().count();
    return grown(levels.matrix(), levels.reached, {}, growth, &LoadedModel::peak_log_odds);
  }

  std::array<model::SavedTrees, model::learned_quantiles.size()> first(const Examples& saturated) const {
    std::array<model::SavedTrees, model::learned_quantiles.size()> all;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const ports::Objective objective{ports::Objective::Kind::quantile, model::learned_quantiles[i]};
      all[i] = grown(saturated.matrix(), saturated.first, objective, m_growth.first,
                     [&](const LoadedModel& under, const ports::Matrix& m) { return under.first(m, i); });
    }
    return all;
  }

 private:
  /// What stands below says what it says from all columns; the new trees see those that are not hidden.
  template <class Below>
  model::SavedTrees grown(const ports::Matrix& features, std::span<const float> labels,
                          const ports::Objective& objective, const ports::Growth& growth, Below below) const {
    const auto start = m_under == nullptr ? std::vector<float>{} : std::invoke(below, *m_under, features);
    if (m_growth.hidden.empty()) return m_grower.grow(features, labels, start, objective, growth)->save();
    std::vector<float> seen(features.values.begin(), features.values.end());
    for (std::size_t row = 0; row < features.rows; ++row) {
      for (const std::size_t column : m_growth.hidden) {
        // A level's matrix has the course alone in common with an origin's.
        const bool shared = features.columns == feature_names().size() || column < course_columns();
        if (shared) seen[row * features.columns + column] = static_cast<float>(missing);
      }
    }
    return m_grower.grow({seen, features.rows, features.columns}, labels, start, objective, growth)->save();
  }

  const LoadedModel* m_under;
  const ports::TreeGrower& m_grower;
  const LayerGrowth& m_growth;
};

}  // namespace

model::ForecastLayer grow_layer(const Examples& examples, const LoadedModel* under, const ports::TreeGrower& grower,
                                const LayerGrowth& growth, std::uint64_t seed, const Told& told) {
  const Examples saturated = under == nullptr ? saturated_of(examples) : Examples{};
  if (under == nullptr && saturated.rows() < least_examples) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("there is too little to learn from: {} origins saturate", saturated.rows()),
                      "give more, or longer, traces");
  }
  const Nursery nursery(under, grower, growth);
  model::ForecastLayer layer;
  if (growth.saturation.rounds > 0) {
    told(fmt::format("growing the trees of saturation from {} origins", examples.rows()));
    layer.saturation = nursery.saturation(examples);
  }
  if (growth.peak.rounds > 0) {
    told("growing the trees of the peak");
    layer.peak = nursery.peak(examples, seed);
  }
  if (under != nullptr) return layer;
  told("growing the trees of the time to saturation");
  layer.first = nursery.first(saturated);
  return layer;
}

}  // namespace umbra::predict
