// SPDX-License-Identifier: Apache-2.0
#include "predict/trend.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::predict {
namespace {

constexpr double mad_to_sigma = 1.4826;    // of a Gaussian
constexpr double least_sigma = 0.004;      // counters are read with that much jitter at best
constexpr std::size_t shortest_tail = 24;  // fewer readings say little about a slope
constexpr std::size_t newest = 8;          // readings that must lie about the line, not to one side
constexpr std::size_t most_dots = 160;     // the median of slopes takes time with the square of it

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double median_slope(std::span<const Dot> dots) {
  std::vector<double> slopes;
  slopes.reserve(dots.size() * (dots.size() - 1) / 2);
  for (std::size_t i = 0; i < dots.size(); ++i) {
    for (std::size_t j = i + 1; j < dots.size(); ++j) {
      if (dots[j].t > dots[i].t) slopes.push_back((dots[j].v - dots[i].v) / (dots[j].t - dots[i].t));
    }
  }
  return slopes.empty() ? 0 : median(slopes);
}

double typical_step(std::span<const Dot> dots) {
  std::vector<double> steps;
  for (std::size_t i = 1; i < dots.size(); ++i) steps.push_back(dots[i].t - dots[i - 1].t);
  return std::max(1e-3, median(steps));
}

/// Lag-1 autocorrelation of the residuals over neighbours without a gap, corrected for its bias in a short detrended
/// series (Kendall 1954).
double autocorrelation(std::span<const Dot> dots, const std::vector<double>& residuals, double step) {
  double together = 0;
  double alone = static_cast<double>(dots.size()) * least_sigma * least_sigma;  // rounding alone is not correlated
  for (std::size_t i = 0; i < dots.size(); ++i) {
    alone += residuals[i] * residuals[i];
    if (i > 0 && dots[i].t - dots[i - 1].t < 3 * step) together += residuals[i] * residuals[i - 1];
  }
  const double r = together / alone;
  return std::clamp(r + (1 + 4 * r) / static_cast<double>(dots.size()), 0.0, 0.95);
}

/// Whether the newest third of the readings rises or falls otherwise than the line through all of them.
bool bends(std::span<const Dot> dots, const std::vector<double>& residuals, const Trend& line) {
  constexpr double tolerated = 0.3;  // of the slope
  constexpr double errors = 2;
  const std::size_t n = dots.size() / 3;
  const std::span<const Dot> third = dots.last(n);
  const std::span<const double> off = std::span(residuals).last(n);
  double t = 0;
  double v = 0;
  for (std::size_t i = 0; i < n; ++i) {
    t += third[i].t / static_cast<double>(n);
    v += off[i] / static_cast<double>(n);
  }
  double tt = 0;
  double tv = 0;
  for (std::size_t i = 0; i < n; ++i) {
    tt += (third[i].t - t) * (third[i].t - t);
    tv += (third[i].t - t) * (off[i] - v);
  }
  const double slope = tv / std::max(1e-9, tt);
  std::vector<double> rest;
  double square_sum = static_cast<double>(n) * least_sigma * least_sigma;
  for (std::size_t i = 0; i < n; ++i) {
    rest.push_back(off[i] - v - slope * (third[i].t - t));
    square_sum += rest.back() * rest.back();
  }
  const double r = autocorrelation(third, rest, line.step);
  const double error =
      std::sqrt(square_sum / std::max(1.0, static_cast<double>(n) - 2) * (1 + r) / (1 - r) / std::max(1e-9, tt));
  return std::abs(slope) > tolerated * std::abs(line.slope) + errors * error;
}

struct Line {
  Trend trend;
  bool bent = false;
  double newest_bias = 0;  ///< mean residual of the newest readings, in its standard errors
};

/// How far a slope of `z` standard errors counts: not at all below 2.5, in full from 4.
double significance(double z) {
  return std::clamp((z - 2.5) / 1.5, 0.0, 1.0);
}

std::vector<double> residuals_of(std::span<const Dot> dots, const Trend& line) {
  std::vector<double> residuals;
  residuals.reserve(dots.size());
  for (const Dot& dot : dots) residuals.push_back(dot.v - (line.centre_v + line.slope * (dot.t - line.centre_t)));
  return residuals;
}

double robust_sigma(const std::vector<double>& residuals) {
  std::vector<double> sizes;
  sizes.reserve(residuals.size());
  for (const double residual : residuals) sizes.push_back(std::abs(residual));
  return std::max(least_sigma, mad_to_sigma * median(sizes));
}

Line fit_line(std::span<const Dot> dots) {
  const double n = static_cast<double>(dots.size());
  Line line;
  Trend& trend = line.trend;
  trend.slope = median_slope(dots);
  trend.span = dots.back().t - dots.front().t;

  std::vector<double> offsets;
  for (const Dot& dot : dots) {
    trend.centre_t += dot.t / n;
    offsets.push_back(dot.v - trend.slope * dot.t);
  }
  trend.centre_v = median(offsets) + trend.slope * trend.centre_t;
  measure_scatter(trend, dots);

  const std::vector<double> residuals = residuals_of(dots, trend);
  const double sigma = robust_sigma(residuals);
  double time_square_sum = 0;
  for (const Dot& dot : dots) time_square_sum += (dot.t - trend.centre_t) * (dot.t - trend.centre_t);
  trend.level_error = sigma * std::sqrt(trend.inflation / n);
  trend.slope_error = sigma * std::sqrt(trend.inflation / std::max(1e-9, time_square_sum));
  trend.weight = significance(std::abs(trend.slope) / trend.slope_error);

  const std::size_t tail = std::min(newest, residuals.size());
  double sum = 0;
  for (std::size_t i = residuals.size() - tail; i < residuals.size(); ++i) sum += residuals[i];
  const double r = autocorrelation(dots, residuals, trend.step);
  line.bent = (n >= 48 && r > 0.7) || (n >= 24 && bends(dots, residuals, trend));
  line.newest_bias = std::abs(sum) / std::sqrt(static_cast<double>(tail)) / sigma;
  return line;
}

}  // namespace

std::vector<Dot> thin(std::span<const Dot> dots, std::size_t most) {
  const std::size_t group = (dots.size() + most - 1) / most;
  std::vector<Dot> thinned;
  // Counted from the newest end, so that the newest group is whole.
  for (std::size_t end = dots.size(); end > 0;) {
    const std::size_t begin = end > group ? end - group : 0;
    Dot mean;
    for (std::size_t i = begin; i < end; ++i) {
      mean.t += dots[i].t / static_cast<double>(end - begin);
      mean.v += dots[i].v / static_cast<double>(end - begin);
    }
    thinned.push_back(mean);
    end = begin;
  }
  std::reverse(thinned.begin(), thinned.end());
  return thinned;
}

void measure_scatter(Trend& trend, std::span<const Dot> readings) {
  const std::vector<double> residuals = residuals_of(readings, trend);
  double square_sum = 0;
  for (const double residual : residuals) square_sum += residual * residual;
  const double freedom = std::max(1.0, static_cast<double>(readings.size()) - 2);
  trend.step = typical_step(readings);
  trend.spread = std::max(robust_sigma(residuals), std::sqrt(square_sum / freedom));
  const double r = autocorrelation(readings, residuals, trend.step);
  trend.inflation = (1 + r) / (1 - r);
}

Trend fit_trend(std::span<const Dot> dots) {
  std::span<const Dot> tail = dots;
  for (;;) {
    Line line = fit_line(thin(tail, most_dots));
    const std::size_t shorter = tail.size() * 2 / 3;
    const bool explained = line.newest_bias < 3 && !line.bent;
    if (explained || shorter < shortest_tail) {
      if (!explained) line.trend.weight = 0;
      if (tail.size() > most_dots) measure_scatter(line.trend, tail);
      return line.trend;
    }
    tail = tail.last(shorter);
  }
}

}  // namespace umbra::predict
