// SPDX-License-Identifier: Apache-2.0
#include "predict/times.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace umbra::predict {
namespace {

constexpr std::size_t least_times = 20;   // times to take quantiles of
constexpr double second_rounding = 1e-6;  // seconds

/// Takes one value after another out of a set that is known beforehand, and tells which of those taken is the n-th, in
/// a few steps (Fenwick 1994).
class Ranked {
 public:
  explicit Ranked(std::vector<double> values) : m_values(std::move(values)) {
    std::ranges::sort(m_values);
    m_values.erase(std::unique(m_values.begin(), m_values.end()), m_values.end());
    m_counts.assign(m_values.size() + 1, 0);
    while (2 * m_top <= m_values.size()) m_top *= 2;
  }

  void take(double value) {
    ++m_taken;
    const auto rank = std::ranges::lower_bound(m_values, value) - m_values.begin();
    for (auto i = static_cast<std::size_t>(rank) + 1; i < m_counts.size(); i += i & -i) ++m_counts[i];
  }

  std::size_t taken() const { return m_taken; }

  double quantile(double q) const {
    std::size_t left = static_cast<std::size_t>(q * static_cast<double>(m_taken - 1));
    std::size_t place = 0;
    for (std::size_t step = m_top; step > 0; step /= 2) {
      if (place + step >= m_counts.size() || m_counts[place + step] > left) continue;
      place += step;
      left -= m_counts[place];
    }
    return m_values[place];
  }

 private:
  std::vector<double> m_values;  ///< distinct, rising
  std::vector<std::size_t> m_counts;
  std::size_t m_top = 1;
  std::size_t m_taken = 0;
};

Ranked times_of(std::span<const Verified> forecasts, bool above) {
  std::vector<double> times;
  for (const Verified& v : forecasts) {
    if (v.outcome.saturated && v.outcome.above == above) times.push_back(v.outcome.first_s);
  }
  return Ranked(std::move(times));
}

double time_pinball(const model::Quantiles& said, double came) {
  const std::array q{said.p10, said.p50, said.p90};
  double sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double under = came - q[i];
    sum += std::max(model::learned_quantiles[i] * under, (model::learned_quantiles[i] - 1) * under);
  }
  return sum;
}

template <class Counts>
TimeScores scores_where(std::span<const Verified> forecasts, std::span<const model::Quantiles> plain, Counts counts) {
  TimeScores scores;
  double plain_pinball = 0;
  std::vector<double> errors;
  for (std::size_t i = 0; i < forecasts.size(); ++i) {
    const Verified& v = forecasts[i];
    const double came = v.outcome.first_s;
    if (!v.outcome.saturated || !counts(v)) continue;
    scores.pinball_s += time_pinball(v.first_s, came);
    plain_pinball += time_pinball(plain[i], came);
    scores.coverage += came >= v.first_s.p10 - second_rounding && came <= v.first_s.p90 + second_rounding ? 1 : 0;
    errors.push_back(std::abs(came - v.first_s.p50));
  }
  scores.saturations = errors.size();
  if (errors.empty()) return scores;
  const auto n = static_cast<double>(errors.size());
  scores.pinball_s /= n;
  scores.coverage /= n;
  if (plain_pinball > 0) scores.pinball_ratio = scores.pinball_s / (plain_pinball / n);
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  scores.median_error_s = *middle;
  return scores;
}

}  // namespace

std::vector<model::Quantiles> plain_times(std::span<const Verified> forecasts, double window_s) {
  std::vector<std::size_t> order(forecasts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return forecasts[i].time; });
  std::array known{times_of(forecasts, false), times_of(forecasts, true)};
  std::vector<model::Quantiles> plain(forecasts.size());
  std::size_t ended = 0;
  for (const std::size_t i : order) {
    for (; forecasts[order[ended]].time + window_s <= forecasts[i].time; ++ended) {
      const Outcome& past = forecasts[order[ended]].outcome;
      if (past.saturated) known[past.above ? 1 : 0].take(past.first_s);
    }
    const Ranked& alike = known[forecasts[i].outcome.above ? 1 : 0];
    plain[i] = {0.1 * window_s, 0.5 * window_s, 0.9 * window_s};
    if (alike.taken() >= least_times) plain[i] = {alike.quantile(0.1), alike.quantile(0.5), alike.quantile(0.9)};
  }
  return plain;
}

Times time_scores(std::span<const Verified> forecasts, std::span<const model::Quantiles> plain) {
  return {scores_where(forecasts, plain, [](const Verified&) { return true; }),
          scores_where(forecasts, plain, [](const Verified& v) { return v.outcome.onset; })};
}

}  // namespace umbra::predict
