// SPDX-License-Identifier: Apache-2.0
#pragma once
// What became of an origin, read from the readings after it: labels for training, truth for a back-test.

#include <cstddef>
#include <optional>

#include "predict/past.hpp"

namespace umbra::predict {

/// What is asked of one resource: does it reach `threshold` (fraction of capacity) within `window_s`?
struct Ask {
  double threshold = 0.9;
  double window_s = 1800;
};

struct Outcome {
  bool saturated = false;
  bool onset =
      false;        ///< nothing reached the threshold in the window before either, and that was seen: an alarm is news
  double peak = 0;  ///< of the window ahead
  double first_s = 0;  ///< until the threshold is reached; NaN where it is not
  bool above = false;  ///< the origin itself is at the threshold
};

/// Of reading `origin`; nothing where the window ahead holds less than 80 % of the readings that the step there would
/// give.
std::optional<Outcome> outcome_of(const Past& past, std::size_t origin, const Ask& ask);

/// How many readings, at that step, a window must hold to have been seen.
double least_seen(double step_s, double window_s);

/// The median of the seconds between neighbours; NaN below two readings.
double median_step(const Past& past, Stretch s);
/// That of some thirty readings up to `reading`, or of the first thirty: a series may be dense here and coarse there.
double step_at(const Past& past, std::size_t reading);

}  // namespace umbra::predict
