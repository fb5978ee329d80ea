// SPDX-License-Identifier: Apache-2.0
#include "predict/forecast.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"

namespace umbra::predict {
namespace {

constexpr std::array default_thresholds{
    std::pair{model::Resource::cpu, 0.90}, std::pair{model::Resource::memory, 0.92},
    std::pair{model::Resource::gpu, 0.90}, std::pair{model::Resource::gpu_memory, 0.92},
    std::pair{model::Resource::net, 0.85}, std::pair{model::Resource::disk, 0.90},
};

std::vector<ports::Reading> readings_of(const model::Series& series, model::Resource resource, base::Instant origin) {
  std::vector<ports::Reading> readings;
  for (const model::Sample& sample : series.samples) {
    if (sample.at <= origin && sample[resource]) readings.push_back({sample.at, *sample[resource]});
  }
  return readings;
}

/// Of the resources that are likely enough to saturate, the one that does so first.
std::optional<model::Resource> binding_of(const std::map<model::Resource, model::ResourceForecast>& resources,
                                          double probability) {
  std::optional<model::Resource> first;
  for (const auto& [resource, f] : resources) {
    if (f.p_saturation < probability || !f.saturates_in_s) continue;
    if (!first || f.saturates_in_s->p50 < resources.at(*first).saturates_in_s->p50) first = resource;
  }
  return first;
}

base::Error too_short(const model::Series& series, const Question& question) {
  const std::string hint = "umbra observe --interval 1s --for 60s";
  const std::string vm = series.vm.get();
  if (series.samples.empty()) {
    return base::Error(base::Kind::invalid, fmt::format("there is no history of \"{}\" to forecast from", vm), hint);
  }
  const base::Instant newest = series.samples.back().at;
  if (newest + question.within < question.origin) {
    return base::Error(base::Kind::invalid,
                       fmt::format("the history of \"{}\" is too old to forecast from: its newest sample is of {}", vm,
                                   base::to_rfc3339(newest)),
                       hint);
  }
  return base::Error(
      base::Kind::invalid,
      fmt::format("the history of \"{}\" is too short to forecast from: {} samples", vm, series.samples.size()), hint);
}

}  // namespace

Thresholds thresholds_of(const model::VmPolicy& policy) {
  Thresholds thresholds;
  for (const auto& [resource, value] : default_thresholds) thresholds[resource] = {{value}, "default"};
  for (const auto& [resource, value] : policy.saturation) thresholds[resource] = {value, "configured"};
  return thresholds;
}

double trigger_probability(model::Priority priority) {
  switch (priority) {
    case model::Priority::critical:
      return 1 / 5.0;
    case model::Priority::high:
      return 1 / 3.0;
    case model::Priority::normal:
      return 1 / 2.0;
    case model::Priority::low:
      return 1 / 1.4;
  }
  return 1 / 2.0;
}

model::Forecast forecast(const model::Series& series, const Thresholds& thresholds, const ports::Forecaster& forecaster,
                         const Question& question) {
  model::Forecast forecast;
  forecast.made_at = question.origin;
  forecast.within_s = question.within.count();
  forecast.model = forecaster.name();
  forecast.source = question.source;
  for (const auto& [resource, threshold] : thresholds) {
    const auto readings = readings_of(series, resource, question.origin);
    if (readings.empty()) continue;
    auto f = forecaster.forecast({readings, question.origin, question.within, threshold.value.value});
    if (!f) continue;
    f->threshold = threshold.value.value;
    f->threshold_source = threshold.source;
    forecast.resources[resource] = *f;
    forecast.samples = std::max<std::uint64_t>(forecast.samples, readings.size());
    forecast.history_s = std::max(forecast.history_s, base::Seconds(readings.back().at - readings.front().at).count());
  }
  if (forecast.resources.empty()) throw too_short(series, question);
  forecast.binding = binding_of(forecast.resources, trigger_probability(question.priority));
  forecast.trigger = forecast.binding.has_value();
  return forecast;
}

}  // namespace umbra::predict
