// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a live pre-copy migration costs, from memory, dirty rate and bandwidth alone.

#include "base/clock.hpp"
#include "model/ids.hpp"

namespace umbra::model {

struct PrecopyInput {
  ByteCount memory;     ///< that the guest has touched
  ByteRate dirty_rate;  ///< while it runs
  ByteRate bandwidth;   ///< for the migration
  base::Seconds downtime_limit{0.3};
  base::Seconds handover{0.1};  ///< fixed part of the blackout: device state, start at the target
  unsigned max_rounds = 30;
};

struct PrecopyResult {
  base::Seconds total{0};     ///< from start to the guest's running at the target
  base::Seconds blackout{0};  ///< guest stopped; part of `total`
  ByteCount bytes;            ///< sent
  unsigned rounds = 0;        ///< while the guest ran
  bool converges = false;     ///< the rest fell below what the downtime limit allows
};

/// Round i sends what round i-1 left dirty: v0 = memory, v(i+1) = min(memory, dirty_rate * v(i) / bandwidth). The guest
/// is stopped once the rest can be sent within the downtime limit, or after max_rounds. Clark et al., "Live Migration
/// of Virtual Machines", NSDI 2005; Liu et al., "Performance and Energy Modeling for Live Migration", HPDC 2011, eq.
/// 1-7. Kind::invalid without a bandwidth above zero.
PrecopyResult precopy(const PrecopyInput& input);

}  // namespace umbra::model
