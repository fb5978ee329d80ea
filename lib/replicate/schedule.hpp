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
};

struct Due {
  base::Instant at;
  std::string reason;
  bool rpo_met = true;  ///< expected to be
};

/// The pass must start so early that its point is committed before the newest one is older than the RPO: with w bytes
/// written and b bytes sent per second and a fixed cost f, start + f + w*start/b <= rpo. Not before `finished` plus
/// shortest_gap, not after `taken_at` plus the RPO.
Due next_due(const PassFacts& facts);

}  // namespace umbra::replicate
