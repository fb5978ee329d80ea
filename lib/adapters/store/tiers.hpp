// SPDX-License-Identifier: Apache-2.0
#pragma once
// How the history grows coarser with age. Inside this folder and its tests only.
//
//   grain            kept at least           packed in slices of
//   as sampled       1 day                   30 minutes
//   5 minutes        14 days                 3 hours
//   1 hour           [metrics] keep          12 hours
//
// A day of every sample serves the forecast's lags, two weeks of 5 minutes its pattern of day and week, hours the slow
// drift of a quarter. A slice grows coarser as a whole when all of it is old enough; slices are so short that this
// takes a fraction of a second for 10,000 VMs. Slices lie on a fixed grid of UTC and own their start exclusive to their
// end inclusive: a sample tells of the time before it.

#include <array>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "model/metrics.hpp"

namespace umbra::store {

/// Their numbers are in the database.
enum class Tier { sampled = 0, minutes = 1, hours = 2 };

struct TierRule {
  base::Millis grain;  ///< what one sample stands for; 0: as it was sampled
  base::Millis slice;
  base::Millis age;  ///< from which on it is made coarser; of the last tier none
};

inline constexpr base::Millis hour{3'600'000};
inline constexpr base::Millis day = 24 * hour;
inline constexpr std::array<TierRule, 3> tier_rules{{
    {base::Millis{0}, hour / 2, day},
    {hour / 12, 3 * hour, 14 * day},
    {hour, 12 * hour, base::Millis::max()},
}};
inline constexpr const TierRule& rule_of(Tier tier) {
  return tier_rules[static_cast<std::size_t>(tier)];
}

/// The start of the piece of the grid that owns `at`.
base::Instant grid_start(base::Instant at, base::Millis piece);

/// One sample per piece of the grid that has any, at the piece's end: the mean of what is known, and the highest peak
/// where it is above that. `samples` are oldest first.
std::vector<model::Sample> coarser(std::span<const model::Sample> samples, base::Millis grain);

/// Both oldest first, as one; where both have an instant, `newer` tells it.
std::vector<model::Sample> merged(std::vector<model::Sample> older, std::span<const model::Sample> newer);

}  // namespace umbra::store
