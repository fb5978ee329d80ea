// SPDX-License-Identifier: Apache-2.0
#pragma once
// A forecast from one series alone: level, trend and spread of its recent past.

#include <optional>
#include <span>

#include "base/clock.hpp"
#include "model/sections.hpp"
#include "predict/trend.hpp"

namespace umbra::predict {

struct Reading {
  base::Instant at;
  double value = 0;  ///< fraction of capacity
};

struct TrendQuery {
  std::span<const Reading> history;  ///< rising in time, no gaps filled in
  base::Instant origin;              ///< only readings at or before it are used
  base::Seconds within{0};
  double threshold = 0;
};

struct StatisticalOptions {
  std::size_t min_readings = 12;
  base::Seconds sustain{30};        ///< saturation is a mean over this long, never one reading
  base::Seconds persistence{3600};  ///< a trend fades as exp(-ahead/persistence)
  double lookback_windows = 3;      ///< how far back to look, in windows
  double ends = 0;  ///< how readily a rise ends: never, or about so often each time that it grows e-fold
};

/// A straight line by the median of slopes (Theil 1950, Sen 1968) through the longest recent span that a line still
/// explains. The slope counts in full where it is 4 standard errors from zero and not at all below 2.5; the standard
/// error allows for autocorrelation by the effective number of readings, n (1-r)/(1+r) (Bayley & Hammersley 1946).
/// Ahead of the origin the trend is damped (Gardner & McKenzie 1985, in continuous time), and a rise may end: lines end
/// as often from one minute to two as from ten to twenty, so the longer one was seen, the longer it is believed. Means
/// over `sustain` scatter about that path as independent Gaussians once the error of the path itself, common to all of
/// them, is given; the distribution of their maximum and of the first passage over the threshold is the product over
/// the steps, averaged over that common error. Irregular steps and gaps are taken as they are.
///
/// `now` is the newest reading. The times to saturation are quantiles given that it happens within the window; absent
/// where p_saturation < 0.05. Nothing with fewer than min_readings, or where the newest reading is older than the
/// window.
class StatisticalForecaster {
 public:
  explicit StatisticalForecaster(StatisticalOptions options = {}) : m_options(options) {}
  std::optional<model::ResourceForecast> forecast(const TrendQuery& query) const;
  /// The same of a trend that was fitted already, to `dots` or to more of them; the last is the newest reading.
  model::ResourceForecast follow(const Trend& trend, std::span<const Dot> dots, base::Seconds within,
                                 double threshold) const;

 private:
  StatisticalOptions m_options;
};

}  // namespace umbra::predict
