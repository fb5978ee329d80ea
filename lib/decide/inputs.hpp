// SPDX-License-Identifier: Apache-2.0
#pragma once
// The numbers of a decision under their names. The answer is a function of these alone; they are what is recorded.

#include <map>
#include <string>

#include "decide/decide.hpp"

namespace umbra::decide {

using Numbers = std::map<std::string, double>;

/// The number called `name`; Kind::invalid where it is missing.
double number(const Numbers& numbers, const std::string& name);
double number_or(const Numbers& numbers, const std::string& name, double fallback);

/// Every number of `situation`, with the assumptions that the model makes beside what was measured:
///   saturation_loss, brownout_slowdown, load_share, priority_weight: see model/prices.hpp
///   horizon_windows      what saturates within the window is taken to stay so as long again
///   handover_s           device state and start at the target, seconds within the blackout
///   room_wanted          of the target's capacity; below it the VM might lack something there too
/// Kind::invalid for a number that is not finite.
Numbers inputs_of(const Situation& situation);

/// Net benefit below which a VM of that priority stays, in weighted seconds: critical 1, high 2, normal 4, low 8.
double threshold_of(model::Priority priority);

}  // namespace umbra::decide
