// SPDX-License-Identifier: Apache-2.0
#include "predict/statistical.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace umbra::predict {
namespace {

constexpr double most_steps = 96;  // of the window: each takes time, and a hundredth of it is near enough
constexpr double improbable = 0.05;

/// Nodes of the common error's Gaussian and their weights: the midpoints of 24 equal steps over -3..3 deviations.
struct Node {
  double u;
  double weight;
};

std::vector<Node> gaussian_nodes() {
  std::vector<Node> nodes;
  double sum = 0;
  for (int i = 0; i < 24; ++i) {
    const double u = -3 + 0.25 * (i + 0.5);
    nodes.push_back({u, std::exp(-u * u / 2)});
    sum += nodes.back().weight;
  }
  for (Node& node : nodes) node.weight /= sum;
  return nodes;
}

double gaussian_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

/// One step ahead of the origin: where the path is expected, and the error of that which all steps share.
struct Step {
  double ahead_s = 0;
  double mean = 0;
  double error = 0;
  double holds = 1;  ///< the chance that the line has gone on until then
};

/// The path over the window and the scatter about it.
class Path {
 public:
  /// In each step there are `draws` independent ones from the scatter; at least 1.
  Path(std::vector<Step> steps, double scatter, double draws)
      : m_steps(std::move(steps)), m_scatter(scatter), m_draws(draws), m_nodes(gaussian_nodes()) {}

  const std::vector<Step>& steps() const { return m_steps; }

  /// The chance that the maximum stays below `x`.
  double stays_below(double x) const {
    double reached = 0;
    for (const Node& node : m_nodes) follow(x, node, [&](std::size_t, double more) { reached += node.weight * more; });
    return 1 - reached;
  }

  /// For each step, the chance that `x` was reached at or before it.
  std::vector<double> reached_by(double x) const {
    std::vector<double> reached(m_steps.size(), 0.0);
    for (const Node& node : m_nodes)
      follow(x, node, [&](std::size_t i, double more) { reached[i] += node.weight * more; });
    std::partial_sum(reached.begin(), reached.end(), reached.begin());
    return reached;
  }

  /// The `q` quantile of the maximum, or the nearest to it from `low` to `high`, by halving.
  double peak_quantile(double q, double low, double high) const {
    constexpr int halvings = 22;  // of a fraction, to six decimals
    for (int i = 0; i < halvings; ++i) {
      const double middle = (low + high) / 2;
      (stays_below(middle) < q ? low : high) = middle;
    }
    return (low + high) / 2;
  }

 private:
  /// Calls `reaches` with each step and the chance that it is the first to reach `x`, given the node's common error.
  template <class Reaches>
  void follow(double x, const Node& node, const Reaches& reaches) const {
    constexpr double sure = 7;  // deviations: of tens of thousands of readings none is likely to go as far
    constexpr double hardly = 1e-9;
    double below = 1;
    for (std::size_t i = 0; i < m_steps.size() && below > hardly; ++i) {
      const Step& step = m_steps[i];
      const double z = (x - step.mean - node.u * step.error) / m_scatter;
      if (z > sure) continue;
      const double none = gaussian_cdf(z);
      const double still = below * (m_draws > 1 ? std::pow(none, m_draws) : none);
      reaches(i, step.holds * (below - still));
      below = still;
    }
  }

  std::vector<Step> m_steps;
  double m_scatter;
  double m_draws;
  std::vector<Node> m_nodes;
};

/// When `reached` rises past `level`, between two steps by proportion.
double passage_time(const std::vector<Step>& steps, const std::vector<double>& reached, double level) {
  const auto it = std::lower_bound(reached.begin(), reached.end(), level);
  if (it == reached.end()) return steps.back().ahead_s;
  const auto i = static_cast<std::size_t>(it - reached.begin());
  const double before = i == 0 ? 0.0 : reached[i - 1];
  const double from = i == 0 ? 0.0 : steps[i - 1].ahead_s;
  const double part = *it > before ? (level - before) / (*it - before) : 1.0;
  return from + part * (steps[i].ahead_s - from);
}

/// The chance that a line which was seen for so long goes on for `ahead` seconds more. Lines end at a rate that is not
/// known, the same in the logarithm of their age; with a gamma prior of shape `ends`, what is left is Lomax's. From the
/// twelfth reading on, to have gone on is evidence.
double holds(const Trend& trend, double ahead, double ends) {
  const double seen = std::max(trend.span, trend.step);
  const double grown = 1 + std::log(std::max(1.0, seen / (12 * trend.step)));
  return std::pow(grown / (grown + std::log1p(ahead / seen)), ends);
}

Path path_of(const Trend& trend, double window_s, const StatisticalOptions& options) {
  const double block = std::max(options.sustain.count(), trend.step);
  const auto count = static_cast<std::size_t>(std::clamp(std::round(window_s / block), 1.0, most_steps));
  const double readings_per_block = std::max(1.0, block / trend.step);
  const double blocks_per_step = std::max(1.0, std::floor(window_s / block) / static_cast<double>(count));
  // Neighbours that follow one another are no draws of their own.
  const double draws = std::max(1.0, blocks_per_step * std::min(1.0, readings_per_block / trend.inflation));
  const double scatter = trend.spread * std::sqrt(std::min(1.0, trend.inflation / readings_per_block));
  const double fade = options.persistence.count();

  std::vector<Step> steps;
  for (std::size_t i = 1; i <= count; ++i) {
    const double ahead = window_s * static_cast<double>(i) / static_cast<double>(count);
    const double damped = -fade * std::expm1(-ahead / fade);
    const double reach = damped - trend.centre_t;  // centre_t lies before the origin
    const double slope_part = std::sqrt(trend.weight) * trend.slope_error * reach;
    steps.push_back({ahead, trend.at(0) + trend.weight * trend.slope * damped,
                     std::hypot(trend.level_error, slope_part),
                     trend.slope > 0 ? holds(trend, ahead, options.ends) : 1});
  }
  return Path(std::move(steps), scatter, draws);
}

/// Readings to look at: those of the lookback, or the newest few where they lie further apart.
std::vector<Dot> recent(const TrendQuery& query, const StatisticalOptions& options) {
  const auto& all = query.history;
  const auto end =
      std::find_if(all.rbegin(), all.rend(), [&](const Reading& r) { return r.at <= query.origin; }).base();
  const base::Seconds lookback = query.within * options.lookback_windows;
  std::vector<Dot> dots;
  for (auto it = end; it != all.begin();) {
    --it;
    const base::Seconds age = query.origin - it->at;
    if (age > lookback && dots.size() >= 2 * options.min_readings) break;
    if (std::isfinite(it->value)) dots.push_back({-age.count(), it->value});
  }
  std::reverse(dots.begin(), dots.end());
  return dots;
}

/// The mean of the newest `sustain` seconds.
double sustained_now(std::span<const Dot> dots, double sustain_s) {
  double sum = 0;
  double count = 0;
  for (auto it = dots.rbegin(); it != dots.rend() && it->t > dots.back().t - sustain_s; ++it) {
    sum += it->v;
    ++count;
  }
  return sum / count;
}

}  // namespace

std::optional<model::ResourceForecast> StatisticalForecaster::forecast(const TrendQuery& query) const {
  const double window_s = query.within.count();
  const std::vector<Dot> dots = recent(query, m_options);
  if (!(window_s > 0) || dots.size() < std::max<std::size_t>(3, m_options.min_readings)) return std::nullopt;
  if (-dots.back().t > window_s) return std::nullopt;

  return follow(fit_trend(dots), dots, query.within, query.threshold);
}

model::ResourceForecast StatisticalForecaster::follow(const Trend& trend, std::span<const Dot> dots,
                                                      base::Seconds within, double threshold) const {
  const Path path = path_of(trend, within.count(), m_options);
  const double already = sustained_now(dots, m_options.sustain.count());
  double ceiling = std::max(1.0, threshold);  // use can't be seen to pass the capacity
  for (const Dot& dot : dots) ceiling = std::max(ceiling, dot.v);

  model::ResourceForecast f;
  f.now = dots.back().v;
  f.threshold = threshold;
  f.peak.p10 = path.peak_quantile(0.1, std::max(0.0, already), ceiling);
  f.peak.p50 = path.peak_quantile(0.5, f.peak.p10, ceiling);
  f.peak.p90 = path.peak_quantile(0.9, f.peak.p50, ceiling);
  if (already >= threshold) {
    f.p_saturation = 1;
    f.saturates_in_s = model::Quantiles{};
    return f;
  }
  const std::vector<double> reached = path.reached_by(threshold);
  f.p_saturation = std::clamp(reached.back(), 0.0, 1.0);
  if (f.p_saturation >= improbable) {
    const auto when = [&](double q) { return passage_time(path.steps(), reached, q * f.p_saturation); };
    f.saturates_in_s = model::Quantiles{when(0.1), when(0.5), when(0.9)};
  }
  return f;
}

}  // namespace umbra::predict
