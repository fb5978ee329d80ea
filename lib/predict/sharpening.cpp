// SPDX-License-Identifier: Apache-2.0
#include "predict/sharpening.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
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
constexpr double weight = 0.4;
constexpr double noise = 0.002;  // a score that is better by less is no better
constexpr ports::Growth of_saturation{.rounds = 450, .depth = 4, .eta = 0.04, .least_weight = 20, .ridge = 50};
constexpr ports::Growth of_peak{.rounds = 300, .depth = 4, .eta = 0.04, .least_weight = 20, .ridge = 50};

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

struct Drawn {
  Examples all;
  std::size_t vms = 0;
  std::size_t saturating_vms = 0;
};

/// Under the question that will be asked.
void draw_asked(std::span<const model::Series> series, model::Resource resource, const SiteLot& lot,
                const std::function<void(const model::Series&, Examples&&)>& each) {
  const auto readings = static_cast<double>(std::max<std::size_t>(1, count_readings(series, resource, lot.until)));
  const Draw draw{.share = std::min(1.0, static_cast<double>(lot.most_rows) / readings), .until = lot.until};
  for (const model::Series& one : series) {
    Dice dice(lot.seed ^ number_of(one.vm.get()) ^ (static_cast<std::uint64_t>(resource) << 56));
    each(one, examples_of(one, resource, *lot.ask, draw, dice));
  }
}

Drawn drawn_from(std::span<const model::Series> series, const SiteLot& lot) {
  Drawn drawn;
  const auto take = [&](const model::Series&, Examples&& more) {
    drawn.vms += more.rows() > 0 ? 1 : 0;
    drawn.saturating_vms += std::ranges::count(more.saturated, 1.0f) > 0 ? 1 : 0;
    drawn.all.append(more);
  };
  const Lot varied{.seed = lot.seed, .most_rows = lot.most_rows, .most_asks = most_asks, .until = lot.until};
  for (const model::Resource resource : lot.resources) {
    if (lot.ask) {
      draw_asked(series, resource, lot, take);
    } else {
      draw_examples(series, resource, varied, take);
    }
  }
  return drawn;
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

/// Why there is no trial; empty where there is.
std::string too_little(const Drawn& drawn, const Parts& parts, const SiteLot& lot) {
  if (drawn.vms < lot.least_vms)
    return fmt::format("too little to learn from: {} VMs; {} are needed", drawn.vms, lot.least_vms);
  if (parts.fitted.rows() < least_rows)
    return fmt::format("too little to learn from: {} origins; {} are needed", parts.fitted.rows(), least_rows);
  if (parts.tested.rows() < least_tests)
    return fmt::format("too little that is new to try it on: {} origins; {} are needed", parts.tested.rows(),
                       least_tests);
  return {};
}

bool clearly_below(double score, double other) {
  return score < (1 - noise) * other;
}

/// A model in use makes way for better probabilities, without a loss in the peak's quantiles.
bool beats(const Trial& after, const Trial& rival) {
  return clearly_below(after.brier, rival.brier) && after.pinball <= (1 + noise) * rival.pinball;
}

}  // namespace

std::uint64_t draw_rank(const model::Series& series) {
  return number_of(series.vm.get() + series.uuid.get());
}

Sharpened sharpen(const LoadedModel& under, std::span<const model::Series> series, const SiteLot& lot,
                  const ports::TreeGrower& grower, const Told& told, const LoadedModel* rival) {
  Sharpened result;
  const Drawn drawn = drawn_from(some_of(series, lot), lot);
  const Parts parts = drawn.all.rows() == 0 ? Parts{} : parts_of(drawn.all, lot);
  result.verdict = too_little(drawn, parts, lot);
  if (!result.verdict.empty()) return result;
  LayerGrowth growth{of_saturation, of_peak, {}, telling_columns()};
  const bool tells_saturation = both_kinds(parts.fitted) && both_kinds(parts.tested);
  if (!tells_saturation || drawn.saturating_vms < lot.least_saturating_vms) growth.saturation.rounds = 0;
  const auto layer_of = [&](const Examples& examples) {
    model::ForecastLayer layer = grow_layer(examples, &under, grower, growth, lot.seed, told);
    layer.weight = weight;
    return layer;
  };
  const Trial below = trial_of(under, parts.tested);
  result.after = trial_of(under.with(layer_of(parts.fitted), grower), parts.tested);
  result.before = rival == nullptr ? below : trial_of(*rival, parts.tested);
  if (!clearly_below(result.after.brier, below.brier)) growth.saturation.rounds = 0;
  if (!clearly_below(result.after.pinball, below.pinball)) growth.peak.rounds = 0;
  if (growth.saturation.rounds == 0) {
    result.after.brier = below.brier;
    result.after.onset_brier = below.onset_brier;
  }
  if (growth.peak.rounds == 0) result.after.pinball = below.pinball;
  const bool is_kept =
      rival != nullptr ? beats(result.after, result.before) : growth.saturation.rounds > 0 || growth.peak.rounds > 0;
  result.verdict =
      fmt::format("{}: Brier score {:.5f}, was {:.5f}; pinball loss {:.5f}, was {:.5f}; of {} later origins",
                  is_kept ? "better" : "no better", result.after.brier, result.before.brier, result.after.pinball,
                  result.before.pinball, result.after.origins);
  if (is_kept) result.layer = layer_of(drawn.all);
  return result;
}

}  // namespace umbra::predict
