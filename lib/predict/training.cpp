// SPDX-License-Identifier: Apache-2.0
#include "predict/training.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "predict/isotonic.hpp"
#include "predict/peak.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

constexpr std::size_t least_rows = 200;
constexpr double rows_per_reading = 1.2;
constexpr double least_weight = 60;  // of a step of the correction
constexpr double most_log_odds = 12;

/// A number from a name, the same everywhere (FNV-1a).
std::uint64_t number_of(const std::string& name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

bool held_out(const std::string& vm) {
  return (number_of(vm) >> 20) % 4 == 0;
}

struct Split {
  Examples fitted;
  Examples held_out;
};

std::size_t readings_of(const TrainingSet& set, model::Resource resource) {
  std::size_t readings = 0;
  for (const model::Series& series : set.series) {
    readings += static_cast<std::size_t>(
        std::ranges::count_if(series.samples, [&](const model::Sample& s) { return s[resource].has_value(); }));
  }
  return readings;
}

void add_examples(const TrainingSet& set, model::Resource resource, const Recipe& recipe, Split& split) {
  const std::size_t readings = readings_of(set, resource);
  if (readings == 0) return;
  const auto wanted = std::min(static_cast<double>(recipe.most_rows), rows_per_reading * static_cast<double>(readings));
  const auto each = static_cast<double>(readings) / static_cast<double>(set.series.size());
  const auto asks = static_cast<unsigned>(std::clamp(each / 150, 2.0, 24.0));
  Draw draw;
  draw.share = std::min(1.0, wanted / (asks * static_cast<double>(readings)));
  for (const model::Series& series : set.series) {
    Dice dice(recipe.seed ^ number_of(set.name + "/" + series.vm.get()) ^ (static_cast<std::uint64_t>(resource) << 56));
    Examples& target = held_out(series.vm.get()) ? split.held_out : split.fitted;
    target.append(varied_examples_of(series, resource, asks, draw, dice));
  }
}

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
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < examples.rows(); ++row) {
    if (examples.saturated[row] > 0) rows.push_back(row);
  }
  return examples.only(rows);
}

model::ForecastLayer grown(const Examples& examples, const ports::TreeGrower& grower, const Recipe& recipe,
                           const Told& told) {
  model::ForecastLayer layer;
  layer.name = recipe.name;
  told(fmt::format("growing the trees of saturation from {} origins", examples.rows()));
  layer.saturation = grower.grow(examples.matrix(), examples.saturated, {}, {}, recipe.saturation)->save();
  {
    told("growing the trees of the peak");
    const Levels levels = levels_of(examples, recipe.seed);
    ports::Growth growth = recipe.peak;
    growth.falling = LevelColumns().count();
    layer.peak = grower.grow(levels.matrix(), levels.reached, {}, {}, growth)->save();
  }
  told("growing the trees of the time to saturation");
  const Examples saturated = saturated_of(examples);
  if (saturated.rows() < least_rows) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("there is too little to learn from: {} origins saturate", saturated.rows()),
                      "give more, or longer, traces");
  }
  for (std::size_t i = 0; i < layer.first.size(); ++i) {
    const ports::Objective objective{ports::Objective::Kind::quantile, model::learned_quantiles[i]};
    layer.first[i] = grower.grow(saturated.matrix(), saturated.first, {}, objective, recipe.first)->save();
  }
  return layer;
}

double log_odds(double p) {
  return std::clamp(std::log(p / (1 - p)), -most_log_odds, most_log_odds);
}

/// From raw log odds to those that came true, through the centres of isotonic levels with enough in them.
model::Correction correction_of(std::span<const float> raw, std::span<const float> saturated) {
  std::vector<double> x(raw.begin(), raw.end());
  std::vector<double> y(saturated.begin(), saturated.end());
  model::Correction correction;
  Level pooled;
  const auto put = [&] {
    const double p = (pooled.mean_y * pooled.weight + 0.5) / (pooled.weight + 1);
    if (!correction.to.empty() && log_odds(p) <= correction.to.back()) return;
    correction.from.push_back(pooled.mean_x);
    correction.to.push_back(log_odds(p));
  };
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

/// Learns the corrections of `model` from examples that its trees did not see.
void correct(model::ForecastModel& model, const Examples& examples, const ports::TreeGrower& grower) {
  constexpr std::size_t batch = 8192;
  const LoadedModel loaded(model, grower);
  const LevelColumns columns;
  std::vector<float> raw;
  std::vector<double> ranks;
  for (std::size_t from = 0; from < examples.rows(); from += batch) {
    const std::size_t rows = std::min(batch, examples.rows() - from);
    const std::size_t width = examples.matrix().columns;
    const ports::Matrix part{std::span(examples.features).subspan(from * width, rows * width), rows, width};
    const Sums sums = loaded.sums(part);
    raw.insert(raw.end(), sums.log_odds.begin(), sums.log_odds.end());
    for (std::size_t row = 0; row < rows; ++row) {
      const auto course = part.values.subspan(row * width, course_columns());
      const auto rungs = std::span(sums.peak).subspan(row * peak_ladder.size(), peak_ladder.size());
      const double now = examples.value[from + row];
      ranks.push_back(peak_rank(rungs, now, columns.scale(course), now + examples.rise[from + row]));
    }
  }
  model.log_odds = correction_of(raw, examples.saturated);
  std::sort(ranks.begin(), ranks.end());
  for (std::size_t i = 0; i < model.peak_ranks.size(); ++i) {
    model.peak_ranks[i] =
        ranks[static_cast<std::size_t>(model::learned_quantiles[i] * static_cast<double>(ranks.size()))];
  }
}

}  // namespace

model::ForecastModel train(std::span<const TrainingSet> sets, const ports::TreeGrower& grower, const Recipe& recipe,
                           const Told& told) {
  Split split;
  for (const TrainingSet& set : sets) {
    for (const model::Resource resource : model::all_resources) add_examples(set, resource, recipe, split);
  }
  if (split.fitted.rows() < least_rows || split.held_out.rows() < least_rows) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("there is too little to learn from: {} origins", split.fitted.rows()),
                      "give more, or longer, traces");
  }
  model::ForecastModel model;
  model.features = feature_names();
  told(fmt::format("holding {} origins out for the corrections", split.held_out.rows()));
  model.layers = {grown(split.fitted, grower, recipe, told)};
  correct(model, split.held_out, grower);
  split.fitted.append(split.held_out);
  split.held_out = {};
  model.layers = {grown(split.fitted, grower, recipe, told)};
  return model;
}

}  // namespace umbra::predict
