// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rising fits: what turns a score into a probability.

#include <span>
#include <vector>

namespace umbra::predict {

/// A block of neighbours that share one level.
struct Level {
  double mean_x = 0;
  double mean_y = 0;
  double weight = 0;
};

/// The rising step function nearest to `y` over `x` in squares, by pooling adjacent violators (Ayer et al. 1955). Its
/// levels in rising order; `x` need not be sorted, equal ones share a level.
std::vector<Level> isotonic(std::span<const double> x, std::span<const double> y);

/// That function at each of the `x` it was fitted to.
std::vector<double> isotonic_at(std::span<const double> x, std::span<const double> y);

}  // namespace umbra::predict
