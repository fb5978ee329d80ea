// SPDX-License-Identifier: Apache-2.0
#include "predict/crossings.hpp"

#include <algorithm>

namespace umbra::predict {

Crossings::Crossings(double threshold, double window_s)
    : m_threshold(threshold), m_window_s(window_s), m_run_start(missing), m_last_above(missing) {}

void Crossings::follow(const Past& past) {
  if (m_count_above.empty()) {
    m_count_above.reserve(past.size());
    m_precedents.reserve(past.size());
  }
  while (m_count_above.size() < past.size()) take(past, m_count_above.size());
  while (m_settled < past.size() && past.time(m_settled) + m_window_s <= past.time(past.size() - 1)) {
    settle(past, m_settled);
    ++m_settled;
  }
}

void Crossings::take(const Past& past, std::size_t i) {
  const bool above = past.peak(i) >= m_threshold;
  m_count_above.push_back((i == 0 ? 0 : m_count_above.back()) + (above ? 1 : 0));
  if (above && !m_above) {
    m_run_start = past.time(i);
    m_onsets.push_back(m_run_start);
  } else if (!above && m_above) {
    m_lengths.push_back(past.time(i) - m_run_start);
  }
  if (above) m_last_above = past.time(i);
  m_above = above;
}

void Crossings::settle(const Past& past, std::size_t i) {
  const double origin = past.time(i);
  // Origins come in their order: each bound only ever moves on, and needs no search.
  const auto moved_on = [&](std::size_t& bound, double time) {
    while (bound < past.size() && past.time(bound) <= time) ++bound;
    return bound;
  };
  const Stretch ahead{i + 1, moved_on(m_ahead_to, origin + m_window_s)};
  const Stretch before{moved_on(m_before_from, origin - m_window_s), i + 1};
  const Stretch four{moved_on(m_four_from, origin - 4 * m_window_s), i + 1};
  if (ahead.empty()) return;
  Odds& odds = any_above(before) ? m_loud : m_quiet;
  odds.origins += 1;
  odds.saturated += any_above(ahead) ? 1 : 0;
  m_precedents.push_back({static_cast<float>(past.value(i)), static_cast<float>(past.mean(before)),
                          static_cast<float>(m_highest_of_four.of(past, four)),
                          static_cast<float>(m_highest_ahead.of(past, ahead) - past.value(i))});
}

double Crossings::onsets_since(double time) const {
  return static_cast<double>(m_onsets.end() - std::upper_bound(m_onsets.begin(), m_onsets.end(), time));
}

bool Crossings::any_above(Stretch s) const {
  return !s.empty() && m_count_above[s.to - 1] > (s.from == 0 ? 0 : m_count_above[s.from - 1]);
}

double Crossings::share_above(Stretch s) const {
  if (s.empty()) return missing;
  const std::size_t before = s.from == 0 ? 0 : m_count_above[s.from - 1];
  return static_cast<double>(m_count_above[s.to - 1] - before) / s.count();
}

}  // namespace umbra::predict
