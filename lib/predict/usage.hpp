// SPDX-License-Identifier: Apache-2.0
#pragma once
// From raw counters to the fractions of capacity that the history holds. Pure: it sees two readings and no clock.

#include <optional>
#include <string>

#include "model/metrics.hpp"

namespace umbra::predict {

/// What was used between `before` and `now`, as fractions of capacity. CPU, network and disk need a `before` of the
/// same VM on the same host in the same incarnation, and earlier; a counter that went back gives no rate. Memory and
/// GPU need none, so that a first reading already says something. All but network and disk stay within 0..1; these may
/// pass 1, since their capacity is configured and not measured. Of CPU and GPU, many times the capacity is no reading
/// but a fault of a clock or a driver, and not known. Nothing where no resource is known.
std::optional<model::Sample> usage(const std::optional<model::Counters>& before, const model::Counters& now,
                                   const model::Capacities& capacities);

/// "8 CPUs became 4", or nothing. Samples before it are parts of another capacity: a forecast takes the jump of the
/// fraction for one of the load until it has seen some hours of the new size.
std::optional<std::string> resized(const std::optional<model::Counters>& before, const model::Counters& now);

}  // namespace umbra::predict
