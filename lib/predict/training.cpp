// SPDX-License-Identifier: Apache-2.0
#include "predict/training.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.hpp"
#include "predict/correcting.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

constexpr double fitted_time = 0.75;  // share of a set's time

/// Every fourth VM is held out; every other one of them for the scores.
std::uint64_t part_of(const std::string& vm) {
  return (number_of(vm) >> 20) % 8;
}
bool is_held_out(const std::string& vm) {
  return part_of(vm) < 2;
}
bool is_for_scores(const std::string& vm) {
  return part_of(vm) == 0;
}

/// VMs of the same name in two sets are not drawn alike.
Lot lot_of(const Recipe& recipe, const TrainingSet& set) {
  Lot lot = recipe.lot;
  lot.seed ^= number_of(set.name);
  return lot;
}

struct Split {
  Examples fitted;
  Examples corrected;  ///< of VMs and a time that `fitted` has not seen
  Examples scored;     ///< likewise, and kept back for the scores
  Examples rest;
};

Split split_of(std::span<const TrainingSet> sets, const Recipe& recipe) {
  Split split;
  for (const TrainingSet& set : sets) {
    const double cut = time_at(set.series, fitted_time);
    for (const model::Resource resource : model::all_resources) {
      draw_examples(set.series, resource, lot_of(recipe, set), [&](const model::Series& series, Examples&& examples) {
        const std::string& vm = series.vm.get();
        const bool held_out = is_held_out(vm);
        const auto serves = [&](std::size_t row) {
          return held_out ? examples.time[row] > cut : examples.ends[row] <= cut;
        };
        Examples& target = !held_out ? split.fitted : is_for_scores(vm) ? split.scored : split.corrected;
        target.append(examples.where(serves));
        split.rest.append(examples.where([&](std::size_t row) { return !serves(row); }));
      });
    }
  }
  return split;
}

/// Of the VMs that are kept back for it, in the time that the trees have not seen, under the most usual question.
model::Json scores_of(std::span<const TrainingSet> sets, const LoadedModel& model, const Recipe& recipe) {
  constexpr double most_rows = 20'000;
  const Ask usual{0.9, 1800};
  model::Json scores = model::Json::array();
  for (const TrainingSet& set : sets) {
    const double cut = time_at(set.series, fitted_time);
    for (const model::Resource resource : model::all_resources) {
      const auto readings = static_cast<double>(count_readings(set.series, resource));
      if (readings == 0) continue;
      const Draw draw{.share = std::min(1.0, most_rows / (readings * (1 - fitted_time) / 8)), .after = cut};
      Dice dice(lot_of(recipe, set).seed);
      Examples kept;
      for (const model::Series& series : set.series) {
        if (is_for_scores(series.vm.get())) kept.append(examples_of(series, resource, usual, draw, dice));
      }
      if (kept.rows() < least_examples) continue;
      model::Json row = summary_of(score(verified(model, kept), usual.window_s));
      row.update({{"set", set.name},
                  {"resource", model::to_string(resource)},
                  {"threshold", usual.threshold},
                  {"within_s", usual.window_s}});
      scores.push_back(row);
    }
  }
  return scores;
}

/// Learns the corrections of `model`, whose trees have not seen the examples.
void correct(model::ForecastModel& model, const Examples& examples, const ports::TreeGrower& grower) {
  const Said said = said_of(LoadedModel(model, grower), examples);
  model.log_odds = correction_of(said, examples);
  model.peak_ranks = peak_ranks_of(said);
}

}  // namespace

model::ForecastModel train(std::span<const TrainingSet> sets, const ports::TreeGrower& grower, const Recipe& recipe,
                           const Told& told) {
  Split split = split_of(sets, recipe);
  if (split.fitted.rows() < least_examples || split.corrected.rows() < least_examples) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("there is too little to learn from: {} origins", split.fitted.rows()),
                      "give more, or longer, traces");
  }
  const auto layer_of = [&](const Examples& examples) {
    model::ForecastLayer layer = grow_layer(examples, nullptr, grower, recipe.growth, recipe.lot.seed, told);
    layer.name = recipe.name;
    return layer;
  };
  model::ForecastModel model;
  model.features = feature_names();
  told(fmt::format("holding {} origins out for the corrections", split.corrected.rows()));
  model.layers = {layer_of(split.fitted)};
  correct(model, split.corrected, grower);
  told("scoring on what was held out");
  model.scores = scores_of(sets, LoadedModel(model, grower), recipe);
  split.corrected.append(split.scored);
  correct(model, split.corrected, grower);
  split.fitted.append(split.corrected);
  split.fitted.append(split.rest);
  split.corrected = split.scored = split.rest = {};
  model.layers = {layer_of(split.fitted)};
  return model;
}

model::Json summary_of(const Scores& scores) {
  const auto probabilities = [](const ProbabilityScores& p) {
    const auto maybe = [](const std::optional<double>& value) { return value ? model::Json(*value) : model::Json(); };
    return model::Json{{"forecasts", p.forecasts},
                       {"saturations", p.saturations},
                       {"brier", p.brier},
                       {"brier_skill", maybe(p.brier_skill)},
                       {"average_precision", maybe(p.average_precision)},
                       {"recall_at_precision_50", maybe(p.recall_at_precision_50)},
                       {"recall_at_precision_80", maybe(p.recall_at_precision_80)},
                       {"calibration_error", p.calibration_error},
                       {"calibration_error_active", maybe(p.calibration_error_active)}};
  };
  return {{"all", probabilities(scores.all)},
          {"onsets", probabilities(scores.onsets)},
          {"peak",
           {{"pinball", scores.peak.pinball},
            {"pinball_ratio", scores.peak.pinball_ratio},
            {"coverage", scores.peak.coverage},
            {"width", scores.peak.width}}}};
}

}  // namespace umbra::predict
