// SPDX-License-Identifier: Apache-2.0
#pragma once
// What waiting for the next forecast may cost against what acting on this one costs, both in expected seconds of unmet
// demand, weighted by priority, at the prices of `decide`.

#include "predict/estimate.hpp"

namespace umbra::predict {

/// weight x p x 300 s x urgency x loss.
///
/// 300 s is how long a VM stays saturated that nobody prepared for: until it is seen, a shadow is made, and the VM has
/// moved. Urgency is 1 where a third of the window or more would be spent saturated, and falls to 0 with that share:
/// the later in the window, the more of it the next forecast can still prevent. The loss is a fifth below the usual one
/// where the peak just touches the threshold, and a fifth above it where it reaches the capacity. `window_s` above 0.
double cost_of_waiting(const Estimate& estimate, double threshold, double window_s, model::Priority priority);

/// Making a shadow and perhaps moving, perhaps in vain: 100 s of copying (some 12 GB at 1 Gbit/s, since nothing is
/// known of the VM yet), which slow the VM itself, weighted, and load two hosts. Critical 60, high 40, normal 30, low
/// 25: a normal VM that would saturate in the first two thirds of its window triggers from a probability of 0.5 on,
/// where the peak just touches the threshold, and from 0.33 on, where it reaches the capacity.
double cost_of_acting(model::Priority priority);

}  // namespace umbra::predict
