// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a straight line through the newest readings says, and how far it is to be believed.

#include <optional>

#include "predict/estimate.hpp"

namespace umbra::predict {

struct LineSays {
  Estimate estimate;
  double weight = 0;        ///< 0..1, beside what trees say
  bool only_raises = true;  ///< where it tells of less than they do, they know better
};

/// Where the window has more steps than those in which trees have learned what a ramp is, and the newest readings lie
/// about a line that rises or falls clearly. It weighs less the more often earlier lines, half as steep or steeper,
/// have ended: a wave that was seen to turn is no ramp. Once the past reaches over a window, trees know what a VM does
/// to its lines: it weighs less, and only warns.
std::optional<LineSays> line_says(const View& view);

/// The two told as one.
Estimate blend(const Estimate& trees, const LineSays& line);

}  // namespace umbra::predict
