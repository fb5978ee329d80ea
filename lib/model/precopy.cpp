// SPDX-License-Identifier: Apache-2.0
#include "model/precopy.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace umbra::model {

PrecopyResult precopy(const PrecopyInput& input) {
  const double bandwidth = input.bandwidth.value;
  if (!(bandwidth > 0) || !std::isfinite(bandwidth)) {
    throw base::Error(base::Kind::invalid, "a migration needs a bandwidth above zero",
                      "set bandwidth in [vms.\"NAME\"], or measure the link");
  }
  const double memory = static_cast<double>(input.memory.value);
  const double dirty_rate = std::max(0.0, input.dirty_rate.value);
  const double fits_in_blackout = bandwidth * std::max(0.0, input.downtime_limit.count());

  PrecopyResult result;
  double rest = memory;
  double sent = 0;
  // The first pass is always made: before it the target holds nothing.
  do {
    sent += rest;
    rest = std::min(memory, dirty_rate * rest / bandwidth);
    ++result.rounds;
  } while (rest > fits_in_blackout && result.rounds < input.max_rounds);

  result.converges = rest <= fits_in_blackout;
  result.blackout = base::Seconds(rest / bandwidth) + input.handover;
  result.total = base::Seconds(sent / bandwidth) + result.blackout;
  result.bytes = {static_cast<std::uint64_t>(sent + rest)};
  return result;
}

}  // namespace umbra::model
