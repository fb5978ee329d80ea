// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a past shows a level to be a VM's ordinary one: where it stands day after day, without harm that is known.

#include <algorithm>
#include <cstddef>

#include "predict/past.hpp"

namespace umbra::predict {

/// The days are the newest 14, counted back from the newest reading; one counts where 6 hours of it were seen, in 12
/// readings. A usual day has 6 % or more of its time at or above the level.
struct Habit {
  enum class Kind {
    never,       ///< nothing reached it
    unknown,     ///< fewer than 3 days count
    occasional,  ///< reached, but on too few days, or in less than three stays
    passing,     ///< on enough days, but without holding a height: on the way to somewhere
    rising,      ///< higher in the second half of the past than in the first, as a leak is
    ordinary,    ///< on half the days of each half of the past, on 3 in all, and in three stays or on every day
  };
  Kind kind = Kind::never;
  double span_s = 0;      ///< from the oldest of the readings to the newest
  double share = 0;       ///< of the time seen, at or above the level
  std::size_t days = 0;   ///< that count
  std::size_t usual = 0;  ///< of them
  double early = 0;       ///< what it mostly stays below when at or above the level: median of usual days, first half
  double late = 0;        ///< the same, second half
  double height() const { return std::max(early, late); }
};

/// What is asked of a height that is held, as fractions of capacity.
struct Steadiness {
  double spread;  ///< eight of ten readings of a usual day lie as near together
  double rise;    ///< from the first half of the past to the second, at the most
};

inline constexpr std::size_t least_days = 3;

/// `level` below 1. One pass over the readings, and none where nothing reached the level.
Habit habit_at(double level, const Past& past, const Steadiness& steadiness);

}  // namespace umbra::predict
