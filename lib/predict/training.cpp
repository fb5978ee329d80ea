// SPDX-License-Identifier: Apache-2.0
#include "predict/training.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/error.hpp"
#include "predict/correcting.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

constexpr double fitted_time = 0.75;  // share of a set's time

/// How often a VM came near what it has, in any resource, later than a time.
std::size_t rises_after(const model::Series& series, double cut) {
  constexpr double near = 0.8;
  std::size_t rises = 0;
  for (const model::Resource resource : model::all_resources) {
    bool above = true;
    for (const model::Sample& sample : series.samples) {
      const std::optional<double>& value = sample[resource];
      if (!value) continue;
      rises += *value >= near && !above && unix_seconds(sample.at) > cut ? 1 : 0;
      above = *value >= near;
    }
  }
  return rises;
}

enum class Part { fitted, corrected, scored };

/// What each VM of a set serves for: every fourth is held out, every other one of them for the scores. They are counted
/// off in the order of how often they come near what they have, so that no part gets all that do, or none.
std::vector<Part> parts_of(const TrainingSet& set, double cut) {
  struct Place {
    std::size_t rises;
    std::uint64_t number;
    std::size_t vm;
    auto operator<=>(const Place&) const = default;
  };
  std::vector<Place> places;
  for (std::size_t vm = 0; vm < set.series.size(); ++vm) {
    places.push_back({rises_after(set.series[vm], cut), number_of(set.series[vm].vm.get()), vm});
  }
  std::ranges::sort(places, std::ranges::greater{});
  std::vector<Part> parts(places.size(), Part::fitted);
  for (std::size_t i = 1; i < places.size(); i += 4) {
    parts[places[i].vm] = i % 8 == 1 ? Part::corrected : Part::scored;
  }
  return parts;
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
    const std::vector<Part> parts = parts_of(set, cut);
    for (const model::Resource resource : model::all_resources) {
      draw_examples(set.series, resource, lot_of(recipe, set), [&](const model::Series& series, Examples&& examples) {
        const Part part = parts[static_cast<std::size_t>(&series - set.series.data())];
        const bool held_out = part != Part::fitted;
        const auto serves = [&](std::size_t row) {
          return held_out ? examples.time[row] > cut : examples.ends[row] <= cut;
        };
        Examples& target = !held_out ? split.fitted : part == Part::scored ? split.scored : split.corrected;
        target.append(examples.where(serves));
        split.rest.append(examples.where([&](std::size_t row) { return !serves(row); }));
      });
    }
  }
  return split;
}

/// Of the VMs that are kept back for it, in the time that the trees have not seen.
Examples kept_back(const TrainingSet& set, model::Resource resource, const Ask& ask, const Recipe& recipe) {
  constexpr double most_rows = 10'000;
  const double cut = time_at(set.series, fitted_time);
  const std::vector<Part> parts = parts_of(set, cut);
  const auto readings = static_cast<double>(count_readings(set.series, resource));
  const Draw draw{.share = std::min(1.0, most_rows / (readings * (1 - fitted_time) / 8)), .after = cut};
  Dice dice(lot_of(recipe, set).seed);
  Examples kept;
  for (std::size_t vm = 0; vm < parts.size(); ++vm) {
    if (parts[vm] == Part::scored) kept.append(examples_of(set.series[vm], resource, ask, draw, dice));
  }
  return kept;
}

/// Of what is kept back, under the most usual questions.
model::Json scores_of(std::span<const TrainingSet> sets, const LoadedModel& model, const Recipe& recipe) {
  constexpr std::array usual{Ask{0.9, 1800}, Ask{0.9, 3600}, Ask{0.8, 1800}};
  model::Json scores = model::Json::array();
  for (const TrainingSet& set : sets) {
    for (const model::Resource resource : model::all_resources) {
      if (count_readings(set.series, resource) == 0) continue;
      for (const Ask& ask : usual) {
        const Examples kept = kept_back(set, resource, ask, recipe);
        if (kept.rows() < least_examples) continue;
        model::Json row = summary_of(score(verified(model, kept), ask.window_s));
        row.update({{"set", set.name},
                    {"resource", model::to_string(resource)},
                    {"threshold", ask.threshold},
                    {"within_s", ask.window_s}});
        scores.push_back(row);
      }
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
