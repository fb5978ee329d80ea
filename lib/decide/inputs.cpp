// SPDX-License-Identifier: Apache-2.0
#include "decide/inputs.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "model/prices.hpp"

namespace umbra::decide {
namespace {

void add_forecast(Numbers& numbers, const model::Forecast& forecast) {
  numbers["trigger"] = forecast.trigger;
  numbers["within_s"] = forecast.within_s;
  for (const auto& [resource, f] : forecast.resources) {
    const std::string name(to_string(resource));
    numbers[name + ".p_saturation"] = f.p_saturation;
    if (f.saturates_in_s) {
      numbers[name + ".saturates_p10_s"] = f.saturates_in_s->p10;
      numbers[name + ".saturates_p50_s"] = f.saturates_in_s->p50;
      numbers[name + ".saturates_p90_s"] = f.saturates_in_s->p90;
    }
  }
}

void add_shadow(Numbers& numbers, const Situation& s) {
  const model::ShadowLevel level = s.state    ? std::max(s.state->level, s.shadow ? s.shadow->level : s.state->level)
                                   : s.shadow ? s.shadow->level
                                              : model::ShadowLevel::defined;
  numbers["shadow_exists"] = s.shadow.has_value();
  numbers["shadow_level"] = static_cast<double>(level);
  numbers["shadow_on_placed_host"] = s.shadow && s.shadow->host == s.placement.host;
  numbers["delta_bytes"] = s.replica ? static_cast<double>(s.replica->dirty.value) : 0.0;
}

void add_target(Numbers& numbers, const model::Placement& placement) {
  for (const char* term : {"cpu_headroom", "memory_headroom"}) {
    const auto it = placement.terms.find(term);
    if (it != placement.terms.end()) numbers[std::string("target.") + term] = it->second;
  }
}

void add_migration(Numbers& numbers, const Situation& s) {
  numbers["memory_bytes"] = static_cast<double>(s.memory.value);
  numbers["dirty_bytes_per_s"] = s.dirty_rate.value;
  numbers["bandwidth_bytes_per_s"] = s.bandwidth.value;
  numbers["downtime_limit_s"] = base::Seconds(s.downtime_limit).count();
  numbers["handover_s"] = 0.1;
}

void add_judgement(Numbers& numbers, const Situation& s) {
  numbers["priority_weight"] = model::weight_of(s.priority);
  numbers["threshold_s"] = threshold_of(s.priority);
  numbers["saturation_loss"] = model::saturation_loss;
  numbers["horizon_windows"] = 2;
  numbers["brownout_slowdown"] = model::brownout_slowdown;
  numbers["load_share"] = model::load_share;
  numbers["room_wanted"] = 0.10;
  numbers["past_switched"] = s.past.switched;
  numbers["past_failed"] = s.past.failed;
  numbers["past_blackout_ratio"] = s.past.blackout_ratio;
}

}  // namespace

double number(const Numbers& numbers, const std::string& name) {
  const auto it = numbers.find(name);
  if (it == numbers.end()) {
    throw base::Error(base::Kind::invalid, fmt::format("the decision's inputs have no \"{}\"", name),
                      "replay decisions that this version of umbra recorded");
  }
  return it->second;
}

double number_or(const Numbers& numbers, const std::string& name, double fallback) {
  const auto it = numbers.find(name);
  return it == numbers.end() ? fallback : it->second;
}

double threshold_of(model::Priority priority) {
  switch (priority) {
    case model::Priority::critical:
      return 1;
    case model::Priority::high:
      return 2;
    case model::Priority::normal:
      return 4;
    case model::Priority::low:
      return 8;
  }
  return 4;
}

Numbers inputs_of(const Situation& situation) {
  Numbers numbers;
  add_forecast(numbers, situation.forecast);
  add_shadow(numbers, situation);
  add_target(numbers, situation.placement);
  add_migration(numbers, situation);
  add_judgement(numbers, situation);
  for (const auto& [name, value] : numbers) {
    if (std::isfinite(value)) continue;
    throw base::Error(base::Kind::invalid, fmt::format("\"{}\" is no finite number, so nothing can be decided", name));
  }
  return numbers;
}

}  // namespace umbra::decide
