// SPDX-License-Identifier: Apache-2.0
#pragma once
// What things cost, in the one unit in which verbs weigh them: expected seconds of unmet demand, weighted by priority.

#include "model/sections.hpp"

namespace umbra::model {

/// What a second of unmet demand of such a VM counts: critical 4, high 2, normal 1, low 0.5.
double weight_of(Priority priority);

/// Part of its work that a saturated VM loses: queues grow without bound at full use.
inline constexpr double saturation_loss = 0.25;
/// Part of its work that a VM loses while its memory is copied.
inline constexpr double brownout_slowdown = 0.10;
/// Part of one CPU that copying takes from each of the two hosts.
inline constexpr double load_share = 0.20;

}  // namespace umbra::model
