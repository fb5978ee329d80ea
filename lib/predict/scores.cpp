// SPDX-License-Identifier: Apache-2.0
#include "predict/scores.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "predict/isotonic.hpp"
#include "predict/onsets.hpp"

namespace umbra::predict {
namespace {

constexpr std::size_t bins = 10;  // of probabilities
constexpr double active = 0.05;   // a forecast that says something
constexpr double rounding = 1e-12;

double truth(const Verified& v) {
  return v.outcome.saturated ? 1 : 0;
}

/// Forecasts that say at least as much as an alarm level, and how many of them came true.
struct Alarm {
  double level = 0;
  double alarms = 0;
  double hits = 0;
};

/// One for each distinct probability, from the highest down.
std::vector<Alarm> alarms_of(std::span<const Verified> forecasts) {
  std::vector<std::pair<double, double>> rows;
  for (const Verified& v : forecasts) rows.emplace_back(v.p_saturation, truth(v));
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Alarm> alarms;
  for (const auto& [p, y] : rows) {
    if (alarms.empty() || alarms.back().level != p) {
      Alarm next = alarms.empty() ? Alarm{} : alarms.back();
      next.level = p;
      alarms.push_back(next);
    }
    alarms.back().alarms += 1;
    alarms.back().hits += y;
  }
  return alarms;
}

std::optional<double> average_precision(const std::vector<Alarm>& alarms) {
  if (alarms.empty() || alarms.back().hits == 0) return std::nullopt;
  double area = 0;
  double hits = 0;
  for (const Alarm& a : alarms) {
    area += (a.hits - hits) * a.hits / a.alarms;
    hits = a.hits;
  }
  return area / hits;
}

/// The lowest level whose alarms are right that often; nothing where none is.
std::optional<Alarm> alarm_at(const std::vector<Alarm>& alarms, double precision) {
  const auto it = std::find_if(alarms.rbegin(), alarms.rend(),
                               [&](const Alarm& a) { return a.hits > 0 && a.hits / a.alarms >= precision - rounding; });
  return it == alarms.rend() ? std::nullopt : std::optional(*it);
}

std::optional<double> recall_of(const std::optional<Alarm>& alarm, std::size_t saturations) {
  if (saturations == 0) return std::nullopt;
  return alarm ? alarm->hits / static_cast<double>(saturations) : 0;
}

double brier(std::span<const Verified> forecasts, std::span<const double> probabilities) {
  double sum = 0;
  for (std::size_t i = 0; i < forecasts.size(); ++i) sum += std::pow(probabilities[i] - truth(forecasts[i]), 2);
  return sum / static_cast<double>(forecasts.size());
}

double calibration_error(std::span<const Verified> forecasts) {
  double error = 0;
  for (const ReliabilityBin& bin : reliability(forecasts)) {
    error += static_cast<double>(bin.count) * std::abs(bin.forecast - bin.observed);
  }
  return error / static_cast<double>(forecasts.size());
}

ProbabilityScores probability_scores(std::span<const Verified> forecasts) {
  ProbabilityScores scores;
  scores.forecasts = forecasts.size();
  if (forecasts.empty()) return scores;
  std::vector<double> p;
  std::vector<double> now;
  std::vector<double> y;
  std::vector<Verified> loud;
  for (const Verified& v : forecasts) {
    p.push_back(v.p_saturation);
    now.push_back(v.now);
    y.push_back(truth(v));
    if (v.p_saturation >= active) loud.push_back(v);
  }
  scores.saturations = static_cast<std::size_t>(std::accumulate(y.begin(), y.end(), 0.0));
  scores.brier = brier(forecasts, p);
  const double persistence = brier(forecasts, isotonic_at(now, y));
  if (persistence > 0) scores.brier_skill = 1 - scores.brier / persistence;

  const std::vector<Alarm> alarms = alarms_of(forecasts);
  const auto half = alarm_at(alarms, 0.5);
  scores.average_precision = average_precision(alarms);
  scores.recall_at_precision_50 = recall_of(half, scores.saturations);
  scores.recall_at_precision_80 = recall_of(alarm_at(alarms, 0.8), scores.saturations);
  if (half) scores.alarm_50 = half->level;
  scores.calibration_error = calibration_error(forecasts);
  if (!loud.empty()) scores.calibration_error_active = calibration_error(loud);
  return scores;
}

std::array<double, 3> all_three(const model::Quantiles& q) {
  return {q.p10, q.p50, q.p90};
}

double pinball(std::span<const Verified> forecasts) {
  double sum = 0;
  for (const Verified& v : forecasts) {
    const auto q = all_three(v.peak);
    for (std::size_t i = 0; i < q.size(); ++i) {
      const double under = v.outcome.peak - q[i];
      sum += std::max(model::learned_quantiles[i] * under, (model::learned_quantiles[i] - 1) * under);
    }
  }
  return sum / static_cast<double>(forecasts.size());
}

PeakScores peak_scores(std::span<const Verified> forecasts) {
  PeakScores scores;
  if (forecasts.empty()) return scores;
  std::vector<double> now;
  for (const Verified& v : forecasts) {
    now.push_back(v.now);
    const bool inside = v.outcome.peak >= v.peak.p10 - 1e-9 && v.outcome.peak <= v.peak.p90 + 1e-9;
    scores.coverage += inside ? 1 : 0;
    scores.width += v.peak.p90 - v.peak.p10;
  }
  const auto n = static_cast<double>(forecasts.size());
  scores.coverage /= n;
  scores.width /= n;
  scores.pinball = pinball(forecasts);
  scores.pinball_ratio = scores.pinball / std::max(pinball(baseline(forecasts, now)), rounding);
  return scores;
}

LeadScores lead_scores(std::span<const Verified> forecasts, double window_s, double level) {
  LeadScores scores;
  std::vector<double> leads;
  for (const Event& event : onsets_of(forecasts, level, window_s)) {
    ++scores.events;
    if (event.warned_at) leads.push_back(event.time - *event.warned_at);
  }
  scores.warned = leads.size();
  if (leads.empty()) return scores;
  const auto middle = leads.begin() + static_cast<std::ptrdiff_t>(leads.size() / 2);
  std::nth_element(leads.begin(), middle, leads.end());
  scores.median_lead_s = *middle;
  return scores;
}

}  // namespace

std::vector<Verified> after_quiet(std::span<const Verified> forecasts) {
  std::vector<Verified> quiet;
  std::ranges::copy_if(forecasts, std::back_inserter(quiet), [](const Verified& v) { return v.outcome.onset; });
  return quiet;
}

Scores score(std::span<const Verified> forecasts, double window_s) {
  Scores scores;
  scores.all = probability_scores(forecasts);
  scores.onsets = probability_scores(after_quiet(forecasts));
  scores.peak = peak_scores(forecasts);
  scores.lead = lead_scores(forecasts, window_s, scores.onsets.alarm_50.value_or(2));
  return scores;
}

std::vector<ReliabilityBin> reliability(std::span<const Verified> forecasts) {
  std::array<ReliabilityBin, bins> all;
  for (const Verified& v : forecasts) {
    ReliabilityBin& bin = all[std::min(bins - 1, static_cast<std::size_t>(v.p_saturation * bins))];
    bin.forecast += v.p_saturation;
    bin.observed += truth(v);
    ++bin.count;
  }
  std::vector<ReliabilityBin> filled;
  for (ReliabilityBin& bin : all) {
    if (bin.count == 0) continue;
    bin.forecast /= static_cast<double>(bin.count);
    bin.observed /= static_cast<double>(bin.count);
    filled.push_back(bin);
  }
  return filled;
}

std::vector<PrecisionRecall> precision_recall(std::span<const Verified> forecasts) {
  std::vector<PrecisionRecall> curve;
  const std::vector<Alarm> alarms = alarms_of(forecasts);
  for (const Alarm& a : alarms) {
    curve.push_back({a.hits / a.alarms, alarms.back().hits > 0 ? a.hits / alarms.back().hits : 0});
  }
  return curve;
}

std::vector<Verified> baseline(std::span<const Verified> forecasts, std::span<const double> figures) {
  constexpr std::size_t groups = 20;
  std::vector<double> y;
  for (const Verified& v : forecasts) y.push_back(truth(v));
  const std::vector<double> p = isotonic_at(figures, y);
  std::vector<Verified> all(forecasts.begin(), forecasts.end());
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return figures[a] < figures[b]; });
  for (std::size_t group = 0; group < groups; ++group) {
    const std::size_t from = order.size() * group / groups;
    const std::size_t to = order.size() * (group + 1) / groups;
    if (from == to) continue;
    std::vector<double> over;
    for (std::size_t i = from; i < to; ++i) over.push_back(all[order[i]].outcome.peak - figures[order[i]]);
    std::sort(over.begin(), over.end());
    const auto at = [&](double q) { return over[static_cast<std::size_t>(q * static_cast<double>(over.size() - 1))]; };
    for (std::size_t i = from; i < to; ++i) {
      Verified& v = all[order[i]];
      const double figure = figures[order[i]];
      v.p_saturation = p[order[i]];
      v.peak = {figure + at(0.1), figure + at(0.5), figure + at(0.9)};
    }
  }
  return all;
}

}  // namespace umbra::predict
