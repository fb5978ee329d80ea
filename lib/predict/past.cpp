// SPDX-License-Identifier: Apache-2.0
#include "predict/past.hpp"

#include <algorithm>
#include <cmath>

#include "model/metrics.hpp"

namespace umbra::predict {

void Past::append(double time, double value, double peak) {
  if (!m_time.empty() && time - m_time.back() > model::longest_gap_s) m_unbroken_from = size();
  Sums sums = m_sums.empty() ? Sums{} : m_sums.back();
  const long double t = m_time.empty() ? 0 : time - m_time.front();
  sums.v += value;
  sums.vv += value * value;
  sums.t += t;
  sums.tt += t * t;
  sums.tv += t * value;
  sums.walk += m_value.empty() ? 0 : std::abs(value - m_value.back());
  for (Blocks& blocks : m_blocks) {
    if (m_value.size() % blocks.size == 0) {
      blocks.highest.push_back(peak);
      blocks.lowest.push_back(value);
    } else {
      blocks.highest.back() = std::max(blocks.highest.back(), peak);
      blocks.lowest.back() = std::min(blocks.lowest.back(), value);
    }
  }
  m_time.push_back(time);
  m_value.push_back(value);
  m_peak.push_back(peak);
  m_sums.push_back(sums);
}

void Past::clear() {
  m_time.clear();
  m_value.clear();
  m_peak.clear();
  m_sums.clear();
  m_unbroken_from = 0;
  for (Blocks& blocks : m_blocks) {
    blocks.highest.clear();
    blocks.lowest.clear();
  }
}

Stretch Past::between(double after, double until) const {
  const auto from = std::upper_bound(m_time.begin(), m_time.end(), after);
  const auto to = std::upper_bound(from, m_time.end(), until);
  return {static_cast<std::size_t>(from - m_time.begin()), static_cast<std::size_t>(to - m_time.begin())};
}

Stretch Past::since(double after) const {
  const auto from = std::upper_bound(m_time.begin(), m_time.end(), after);
  return {static_cast<std::size_t>(from - m_time.begin()), size()};
}

Shape Past::shape(Stretch s) const {
  if (s.empty()) return {missing, missing, missing, missing};
  const Sums before = s.from == 0 ? Sums{} : m_sums[s.from - 1];
  const Sums& last = m_sums[s.to - 1];
  const double n = s.count();
  const double v = last.v - before.v;
  const long double t = last.t - before.t;
  Shape shape{v / n, 0, (last.walk - before.walk) / n, missing};
  shape.spread = std::sqrt(std::max(0.0, (last.vv - before.vv) / n - shape.mean * shape.mean));
  const long double scatter_of_time = last.tt - before.tt - t * t / n;
  if (n >= 3 && scatter_of_time > 0)
    shape.slope = static_cast<double>((last.tv - before.tv - t * v / n) / scatter_of_time);
  return shape;
}

double Past::mean(Stretch s) const {
  if (s.empty()) return missing;
  const double before = s.from == 0 ? 0 : m_sums[s.from - 1].v;
  return (m_sums[s.to - 1].v - before) / s.count();
}

template <class Better>
double Past::extreme(Stretch s, const std::vector<double>& readings, std::vector<double> Blocks::*of,
                     Better better) const {
  if (s.empty()) return missing;
  double best = readings[s.from];
  for (std::size_t i = s.from; i < s.to;) {
    const auto fits = [&](const Blocks& blocks) { return i % blocks.size == 0 && i + blocks.size <= s.to; };
    const auto whole = i % smallest_block != 0 ? m_blocks.end() : std::ranges::find_if(m_blocks, fits);
    const bool alone = whole == m_blocks.end();
    const double here = alone ? readings[i] : ((*whole).*of)[i / whole->size];
    if (better(here, best)) best = here;
    i += alone ? 1 : whole->size;
  }
  return best;
}

double Past::highest(Stretch s) const {
  return extreme(s, m_peak, &Blocks::highest, std::greater<>{});
}

double Past::lowest(Stretch s) const {
  return extreme(s, m_value, &Blocks::lowest, std::less<>{});
}

double MovingHighest::of(const Past& past, Stretch s) {
  for (; m_to < s.to; ++m_to) {
    while (m_falling.size() > m_first && past.peak(m_falling.back()) <= past.peak(m_to)) m_falling.pop_back();
    m_falling.push_back(m_to);
  }
  while (m_first < m_falling.size() && m_falling[m_first] < s.from) ++m_first;
  return s.empty() ? missing : past.peak(m_falling[m_first]);
}

}  // namespace umbra::predict
