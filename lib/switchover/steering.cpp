// SPDX-License-Identifier: Apache-2.0
#include "switchover/steering.hpp"

#include <algorithm>

namespace umbra::switchover {
namespace {

constexpr base::Millis span{2'000};
/// At the highest limit: half a minute without any gain.
constexpr unsigned patience = 15;

}  // namespace

Steering::Advice Steering::look(const ports::MoveProgress& progress, base::Millis now) {
  if (!m_span_began) m_span_began = now;
  m_most_in_span = std::max(m_most_in_span, progress.remaining.value);
  if (now - *m_span_began < span) return Advice::go_on;

  const std::uint64_t seen = m_most_in_span;
  m_span_began = now;
  m_most_in_span = 0;
  if (!m_least || seen < *m_least) {
    m_least = seen;
    m_spans_without_gain = 0;
    return Advice::go_on;
  }
  if (m_limit < m_most) {
    m_limit = std::min(m_limit + m_most / 3 + base::Millis{1}, m_most);
    return Advice::raise_limit;
  }
  return ++m_spans_without_gain < patience ? Advice::go_on : Advice::give_up;
}

}  // namespace umbra::switchover
