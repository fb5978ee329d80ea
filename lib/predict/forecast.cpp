// SPDX-License-Identifier: Apache-2.0
#include "predict/forecast.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "predict/thresholds.hpp"
#include "predict/waiting.hpp"
#include "predict/walk.hpp"

namespace umbra::predict {
namespace {

constexpr const char* how_to_get_some = "umbra observe --interval 1s --for 60s";

/// How much of the last four windows was seen: 1 where no reading is missing.
double confidence(const Past& past, double origin, double window_s) {
  const Stretch seen = past.since(origin - 4 * window_s);
  // The step of these alone: the history grows coarser with age.
  const double step = std::max(1e-3, median_step(past, seen.count() > 2 ? seen : past.whole()));
  return std::clamp(std::round(100 * seen.count() * step / (4 * window_s)) / 100, 0.0, 1.0);
}

/// The resource where waiting costs most, if it costs as much as acting; of equals the one that saturates first.
std::optional<model::Resource> binding_of(const model::Forecast& f) {
  const auto worse = [](const model::ResourceForecast& a, const model::ResourceForecast& b) {
    if (a.expected_cost_s != b.expected_cost_s) return a.expected_cost_s > b.expected_cost_s;
    return a.saturates_in_s && b.saturates_in_s && a.saturates_in_s->p50 < b.saturates_in_s->p50;
  };
  std::optional<model::Resource> worst;
  for (const auto& [resource, one] : f.resources) {
    if (one.expected_cost_s < f.acting_cost_s) continue;
    if (!worst || worse(one, f.resources.at(*worst))) worst = resource;
  }
  return worst;
}

/// `readings`: the most that any resource has until then, without a gap of months.
base::Error too_short(const model::Series& series, const Question& question, std::size_t readings) {
  const std::string hint = how_to_get_some;
  const std::string vm = series.vm.get();
  const auto known = std::ranges::upper_bound(series.samples, question.origin, {}, &model::Sample::at);
  if (known == series.samples.begin() && !series.samples.empty()) {
    return base::Error(base::Kind::invalid,
                       fmt::format("the history of \"{}\" begins at {}, and there is none before {}", vm,
                                   base::to_rfc3339(known->at), base::to_rfc3339(question.origin)),
                       "correct the clock, of this machine or of the one that was sampled");
  }
  if (known == series.samples.begin()) return no_history(series.vm);
  const base::Instant newest = std::prev(known)->at;
  if (newest + question.within < question.origin) {
    return base::Error(base::Kind::invalid,
                       fmt::format("the history of \"{}\" is too old to forecast from: its newest sample is of {}", vm,
                                   base::to_rfc3339(newest)),
                       hint);
  }
  return base::Error(base::Kind::invalid,
                     fmt::format("the history of \"{}\" is too short to forecast from: {} samples where {} are needed",
                                 vm, readings, model::least_history),
                     hint);
}

}  // namespace

void Round::know(const model::Series& series, base::Instant origin) {
  for (Past& past : m_pasts) past.clear();
  for (const model::Sample& sample : series.samples) {
    if (sample.at > origin) break;
    for (const model::Resource resource : model::all_resources)
      append_sample(m_pasts[static_cast<std::size_t>(resource)], sample, resource);
  }
}

void Round::add(const model::Series& series, const Configured& configured, const Question& question) {
  Asked asked;
  asked.priority = question.priority;
  model::Forecast& f = asked.forecast;
  f.made_at = question.origin;
  f.within_s = question.within.count();
  f.source = question.source;
  const double origin = unix_seconds(question.origin);
  f.acting_cost_s = cost_of_acting(question.priority);
  know(series, question.origin);
  for (const model::Resource resource : model::all_resources) {
    const Past& past = m_pasts[static_cast<std::size_t>(resource)];
    const Past& companion = m_pasts[static_cast<std::size_t>(companion_of(resource))];
    if (past.unbroken() < model::least_history || past.time(past.size() - 1) + f.within_s < origin) continue;
    const auto set = configured.find(resource);
    const Threshold threshold = threshold_of(
        resource, set == configured.end() ? std::nullopt : std::optional(set->second), question.priority, past);
    Crossings crossings(threshold.value.value, f.within_s);
    crossings.follow(past);
    ++m_put;
    m_forecaster.ask({past, crossings, companion.empty() ? nullptr : &companion, resource});

    model::ResourceForecast& one = f.resources[resource];
    one.now = past.value(past.size() - 1);
    one.threshold = threshold.value.value;
    one.threshold_source = threshold.source;
    one.threshold_reason = threshold.reason;
    one.confidence = confidence(past, origin, f.within_s);
    f.samples = std::max<std::uint64_t>(f.samples, past.size());
    f.history_s = std::max(f.history_s, past.time(past.size() - 1) - past.time(0));
  }
  if (f.resources.empty()) {
    std::size_t most = 0;
    for (const Past& past : m_pasts) most = std::max(most, past.unbroken());
    throw too_short(series, question, most);
  }
  m_asked.push_back(std::move(asked));
}

std::vector<model::Forecast> Round::finish() {
  std::size_t meant = 0;
  for (const Asked& asked : m_asked) meant += asked.forecast.resources.size();
  if (m_put != meant) throw base::Error(base::Kind::internal, "a forecast was given up half asked");
  const std::vector<Estimate> estimates = m_forecaster.answers();
  if (estimates.size() != meant) {
    throw base::Error(base::Kind::internal,
                      fmt::format("{} questions of a forecast got {} answers", meant, estimates.size()));
  }
  auto estimate = estimates.begin();
  std::vector<model::Forecast> forecasts;
  for (Asked& asked : m_asked) {
    model::Forecast& f = asked.forecast;
    f.model = m_forecaster.name();
    bool learned = false;
    for (auto& [resource, one] : f.resources) {
      one.p_saturation = estimate->p_saturation;
      one.peak = estimate->peak;
      one.expected_cost_s = cost_of_waiting(*estimate, one.threshold, f.within_s, asked.priority);
      one.saturates_in_s = estimate->first_s;
      learned = learned || estimate->learned;
      ++estimate;
    }
    if (learned) f.model += "+learned";
    f.binding = binding_of(f);
    f.trigger = f.binding.has_value();
    forecasts.push_back(std::move(f));
  }
  m_asked.clear();
  m_put = 0;
  return forecasts;
}

base::Error no_history(const model::VmName& vm) {
  return base::Error(base::Kind::invalid, fmt::format("there is no history of \"{}\" to forecast from", vm.get()),
                     how_to_get_some);
}

model::Forecast forecast(const model::Series& series, const Configured& configured, Forecaster& forecaster,
                         const Question& question) {
  Round round(forecaster);
  round.add(series, configured, question);
  return round.finish().front();
}

}  // namespace umbra::predict
