// SPDX-License-Identifier: Apache-2.0
#pragma once
// decide: whether moving now is worth it. net benefit = gain - cost > threshold, all in expected seconds of unmet
// demand weighted by priority. Pure; the answer is a function of Decision::inputs alone, so that a recorded decision
// can be computed again. "Stay" is an answer.

#include <optional>
#include <span>

#include "base/clock.hpp"
#include "model/sections.hpp"

namespace umbra::decide {

/// What earlier switchovers taught about the estimates.
struct Past {
  unsigned switched = 0;      ///< outcomes with an estimate beside the measured blackout
  unsigned failed = 0;        ///< rolled back or recovered
  double blackout_ratio = 1;  ///< measured / estimated, geometric mean
};
Past past_of(std::span<const model::Outcome> outcomes);

struct Situation {
  model::Forecast forecast;
  model::Placement placement;
  std::optional<model::ShadowSection> shadow;
  std::optional<model::Replica> replica;
  std::optional<model::StateSection> state;
  model::ByteCount memory;  ///< what a migration must move: the guest's touched memory, or its maximum
  model::ByteRate dirty_rate;
  model::ByteRate bandwidth;
  base::Millis downtime_limit{300};
  model::Priority priority = model::Priority::normal;
  Past past;
};

/// Kind::invalid where a number is missing or not finite (no bandwidth).
model::Decision decide(const Situation& situation);

/// The same answer from the recorded numbers alone. Kind::invalid where one of them is missing.
model::Decision replay(const model::Decision& recorded);

/// The blackout by the pre-copy model alone: what a measured one is compared with, to correct the next decision.
std::optional<base::Millis> blackout_estimate(const model::Decision& decision);

}  // namespace umbra::decide
