// SPDX-License-Identifier: Apache-2.0
#pragma once
// When the next pass is due. Pure: what the last pass showed goes in, an instant and its reason come out.

#include <optional>
#include <string>

#include "base/clock.hpp"
#include "model/ids.hpp"

namespace umbra::replicate {

/// Passes never follow each other closer than this.
inline constexpr base::Seconds shortest_gap{5};

struct PassFacts {
  base::Instant taken_at;  ///< of the new point
  base::Instant finished;
  base::Seconds duration{0};
  std::optional<base::Seconds> since_last;  ///< between the instants of the last two points; absent for the first
  model::ByteCount changed;                 ///< in that span
  model::ByteCount sent;
  std::optional<model::ByteRate> bandwidth;  ///< configured limit
  base::Seconds rpo{300};
  base::Seconds every{60};  ///< how often it is looked whether a pass is due
};

struct Due {
  base::Instant at;
  std::string reason;
  bool meets_rpo = true;  ///< expected to
};

/// The next point must be committed before the newest one is older than the RPO. The last pass took d seconds (more
/// where the bandwidth has been lowered since) for what was written in s seconds; one that starts after t seconds is
/// expected to take d*t/s, and at least d. So it must start within t = min(rpo / (1 + d/s), rpo - d). It starts when it
/// is next looked after the instant that is given here, and that may be `every` later: the instant is t - every after
/// the newest point, but not before `finished` plus shortest_gap.
Due next_due(const PassFacts& facts);

}  // namespace umbra::replicate
