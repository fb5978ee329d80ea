// SPDX-License-Identifier: Apache-2.0
#include "predict/onsets.hpp"

#include <algorithm>

namespace umbra::predict {

std::vector<Event> onsets_of(std::span<const Verified> forecasts, double alarm_level, double window_s) {
  std::vector<Event> events;
  for (const Verified& v : forecasts) {
    if (!v.outcome.onset || !v.outcome.saturated) continue;
    const double at = v.time + v.outcome.first_s;
    if (events.empty() || events.back().vm != v.vm || events.back().time != at) events.push_back({v.vm, at, 0, 0, {}});
    Event& event = events.back();
    event.highest_p = std::max(event.highest_p, v.p_saturation);
    event.peak = std::max(event.peak, v.outcome.peak);
    const bool alarm = v.p_saturation >= alarm_level && at - v.time <= window_s;
    if (alarm && !event.warned_at) event.warned_at = v.time;
  }
  return events;
}

std::vector<Event> false_alarms_of(std::span<const Verified> forecasts, double alarm_level, double window_s) {
  std::vector<Event> events;
  double newest = 0;
  for (const Verified& v : forecasts) {
    if (!v.outcome.onset || v.outcome.saturated || v.p_saturation < alarm_level) continue;
    const bool next = events.empty() || events.back().vm != v.vm || v.time - newest > window_s;
    newest = v.time;
    if (next) events.push_back({v.vm, v.time, 0, 0, v.time});
    Event& event = events.back();
    event.peak = std::max(event.peak, v.outcome.peak);
    if (v.p_saturation <= event.highest_p) continue;
    event.highest_p = v.p_saturation;
    event.time = v.time;
  }
  return events;
}

}  // namespace umbra::predict
