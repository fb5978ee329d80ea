// SPDX-License-Identifier: Apache-2.0
#pragma once
// Forecasts as whoever gets the alarms sees them: onsets that were warned of or not, and alarms that nothing followed.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "predict/scores.hpp"

namespace umbra::predict {

struct Event {
  std::size_t vm = 0;
  double time = 0;                  ///< Unix seconds
  double highest_p = 0;             ///< the most that was said of it
  double peak = 0;                  ///< the highest that a window which was asked about came to
  std::optional<double> warned_at;  ///< the first forecast of at least the alarm level, Unix seconds
};

/// One for each time that the threshold is reached after a quiet window, at that time; what was said of it is what
/// quiet origins said whose window held it. Of each VM in the order of time, as `forecasts` are.
std::vector<Event> onsets_of(std::span<const Verified> forecasts, double alarm_level, double window_s);

/// Alarms of quiet origins whose window stayed below the threshold, at the time of the one that said the most. Those of
/// one VM with no more than a window from one to the next are one.
std::vector<Event> false_alarms_of(std::span<const Verified> forecasts, double alarm_level, double window_s);

}  // namespace umbra::predict
