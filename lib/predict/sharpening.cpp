// SPDX-License-Identifier: Apache-2.0
#include "predict/sharpening.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "predict/correcting.hpp"
#include "predict/features.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::predict {
namespace {

constexpr double fitted_share = 0.75;
constexpr std::size_t least_rows = 1500;  // to learn from
constexpr std::size_t least_tests = 500;
constexpr std::size_t least_saturated = 50;  // in either part: of none, or all, there is nothing to learn or to try
constexpr std::size_t most_tests = 8000;
constexpr std::size_t most_climbs = 1000;  // of the ladder of the peak, which takes its time
constexpr unsigned most_asks = 6;
constexpr double weight = 0.5;
constexpr double noise = 0.002;  // a Brier score that is better by less is no better
constexpr ports::Growth slow{.rounds = 100, .depth = 4, .eta = 0.04, .least_weight = 20, .ridge = 50};

/// Some of the VMs that had readings by then, by their names, so that others that come later change nothing.
std::vector<model::Series> some_of(std::span<const model::Series> series, const SiteLot& lot) {
  std::multimap<std::uint64_t, const model::Series*> by_name;
  for (const model::Series& one : series) {
    if (one.samples.empty() || unix_seconds(one.samples.front().at) > lot.until) continue;
    by_name.emplace(draw_rank(one), &one);
  }
  std::vector<model::Series> some;
  for (const auto& [number, one] : by_name) {
    if (some.size() == lot.most_vms) break;
    some.push_back(*one);
  }
  return some;
}

Examples drawn(std::span<const model::Series> series, const SiteLot& lot) {
  Examples all;
  const Lot each{.seed = lot.seed, .most_rows = lot.most_rows, .most_asks = most_asks, .until = lot.until};
  for (const model::Resource resource : lot.resources) {
    draw_examples(series, resource, each, [&](const model::Series&, Examples&& more) { all.append(more); });
  }
  return all;
}

struct Parts {
  Examples fitted;
  Examples tested;
};

/// Evenly, at most so many.
Examples thinned(const Examples& all, std::size_t most) {
  const std::size_t each = std::max<std::size_t>(1, (all.rows() + most - 1) / most);
  return all.where([&](std::size_t row) { return row % each == 0; });
}

/// When the latest quarter begins, by when the recordings do: those of different years have one each.
std::map<double, double> cuts_of(std::vector<double> times, double tested_from) {
  std::sort(times.begin(), times.end());
  const auto is_gap = [](double a, double b) { return b - a > model::longest_gap_s; };
  std::map<double, double> cuts;
  for (const std::span<double> recording : model::cut_at_gaps(std::span(times), is_gap)) {
    const auto rank = static_cast<std::size_t>(fitted_share * static_cast<double>(recording.size()));
    cuts.emplace(recording.front(), std::max(tested_from, recording[rank]));
  }
  return cuts;
}

/// By time: what is tested begins after every window of its recording that was fitted has ended.
Parts parts_of(const Examples& all, const SiteLot& lot) {
  const std::map<double, double> cuts = cuts_of(all.time, lot.tested_from);
  const auto cut = [&](std::size_t row) { return std::prev(cuts.upper_bound(all.time[row]))->second; };
  return {all.where([&](std::size_t row) { return all.ends[row] <= cut(row); }),
          thinned(all.where([&](std::size_t row) { return all.time[row] >= cut(row); }), most_tests)};
}

std::size_t saturated_in(const Examples& examples) {
  return static_cast<std::size_t>(std::ranges::count(examples.saturated, 1.0f));
}

bool both_kinds(const Examples& examples) {
  const std::size_t saturated = saturated_in(examples);
  return saturated >= least_saturated && examples.rows() - saturated >= least_saturated;
}

Trial trial_of(const LoadedModel& model, const Examples& tested) {
  Trial trial;
  double onsets = 0;
  const std::vector<double> said = probabilities(model, tested);
  for (std::size_t row = 0; row < tested.rows(); ++row) {
    const double error = std::pow(said[row] - static_cast<double>(tested.saturated[row]), 2);
    trial.brier += error;
    if (tested.onset[row] == 0) continue;
    trial.onset_brier += error;
    onsets += 1;
  }
  trial.origins = tested.rows();
  trial.saturations = saturated_in(tested);
  trial.brier /= static_cast<double>(tested.rows());
  trial.onset_brier /= std::max(1.0, onsets);
  trial.pinball = score(verified(model, thinned(tested, most_climbs)), 1).peak.pinball;
  return trial;
}

}  // namespace

std::uint64_t draw_rank(const model::Series& series) {
  return number_of(series.vm.get() + series.uuid.get());
}

Sharpened sharpen(const LoadedModel& under, std::span<const model::Series> series, const SiteLot& lot,
                  const ports::TreeGrower& grower, const Told& told, const LoadedModel* rival) {
  Sharpened result;
  const Examples all = drawn(some_of(series, lot), lot);
  const Parts parts = all.rows() == 0 ? Parts{} : parts_of(all, lot);
  if (parts.fitted.rows() < least_rows || !both_kinds(parts.fitted)) {
    result.verdict = fmt::format("too little to learn from: {} origins, {} of them saturate; {} and {} are needed",
                                 parts.fitted.rows(), saturated_in(parts.fitted), least_rows, least_saturated);
    return result;
  }
  if (parts.tested.rows() < least_tests || !both_kinds(parts.tested)) {
    result.verdict = fmt::format(
        "too little that is new to try it on: {} origins, {} of them saturate; {} and {} are "
        "needed",
        parts.tested.rows(), saturated_in(parts.tested), least_tests, least_saturated);
    return result;
  }
  const LayerGrowth growth{slow, slow, {}, telling_columns()};
  const auto layer_of = [&](const Examples& examples) {
    model::ForecastLayer layer = grow_layer(examples, &under, grower, growth, lot.seed, told);
    layer.weight = weight;
    return layer;
  };
  result.before = trial_of(rival == nullptr ? under : *rival, parts.tested);
  result.after = trial_of(under.with(layer_of(parts.fitted), grower), parts.tested);
  const bool better = result.after.brier < (1 - noise) * result.before.brier &&
                      result.after.pinball <= (1 + noise) * result.before.pinball;
  result.verdict =
      fmt::format("{}: Brier score {:.5f}, was {:.5f}; pinball loss {:.5f}, was {:.5f}; of {} later origins",
                  better ? "better" : "no better", result.after.brier, result.before.brier, result.after.pinball,
                  result.before.pinball, result.after.origins);
  if (better) result.layer = layer_of(all);
  return result;
}

}  // namespace umbra::predict
