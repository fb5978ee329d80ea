// SPDX-License-Identifier: Apache-2.0
#pragma once
// What became of earlier moments of a past: of those most like the origin, and of the newest whatever stood before.

#include <array>
#include <span>
#include <vector>

#include "predict/crossings.hpp"

namespace umbra::predict {

/// How far it rose after those moments that are most like the origin; no rises where there are too few.
struct Nearest {
  std::size_t count;
  double distance = missing;   ///< of the least like of them
  std::vector<float> rises{};  ///< rising
};

/// The 12 and the 50 most like `origin`, whose rise is not looked at: by the level, the mean of the window before and
/// the peak of four windows before (analogues: Lorenz 1969). `all` are oldest first.
std::array<Nearest, 2> nearest(std::span<const Precedent> all, const Precedent& origin);

inline constexpr std::array own_percents{10, 50, 90};
/// Of the rises of the newest 288 of `all`, whatever stood before, these percentiles; NaN where there are too few.
std::array<double, own_percents.size()> own_rises(std::span<const Precedent> all);

}  // namespace umbra::predict
