// SPDX-License-Identifier: Apache-2.0
#pragma once
// A robust straight line through the recent past of a series, with the errors of its level and slope.

#include <optional>
#include <span>
#include <vector>

namespace umbra::predict {

struct Dot {
  double t = 0;  ///< seconds before the origin, negative
  double v = 0;
};

struct Trend {
  double centre_t = 0;  ///< the line passes through (centre_t, centre_v)
  double centre_v = 0;
  double slope = 0;   ///< per second
  double weight = 0;  ///< 0..1: how far the slope counts, by its significance
  double level_error = 0;
  double slope_error = 0;
  double spread = 0;     ///< standard deviation of the readings about the line
  double inflation = 1;  ///< of the variance of a mean of readings, by autocorrelation: (1+r)/(1-r)
  double step = 1;       ///< typical seconds between readings
  double span = 0;       ///< seconds from the oldest reading that it goes through to the newest
  double at(double t) const { return centre_v + weight * slope * (t - centre_t); }
};

/// At most `most` dots: neighbours are averaged where there are more.
std::vector<Dot> thin(std::span<const Dot> dots, std::size_t most);

/// The line through the longest tail of `dots` that a line still explains: its newest readings do not lie to one side,
/// they rise or fall as the line does, and the others lie about it by chance.
/// Where no tail of some length is explained, the weight is 0. `dots` rise in time; at least 3.
Trend fit_trend(std::span<const Dot> dots);

/// Spread, inflation and step of a line anew, of those dots about it: where it was fitted to means, of the readings.
void measure_scatter(Trend& trend, std::span<const Dot> readings);

}  // namespace umbra::predict
