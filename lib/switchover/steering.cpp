// SPDX-License-Identifier: Apache-2.0
#include "switchover/steering.hpp"

#include <algorithm>

namespace umbra::switchover {
namespace {

/// A pass is a gain where it begins with less than this part of the one that it is compared with.
constexpr double gain = 0.95;
/// So much more than before is another phase (disks, then memory) or another load: compared with from now on.
constexpr double another_phase = 2.0;
constexpr unsigned passes_to_raise = 2;
constexpr base::Millis time_to_raise{1'000};
constexpr unsigned passes_to_give_up = 4;
constexpr base::Millis time_to_give_up{30'000};

}  // namespace

void Steering::begin_pass(std::uint64_t remaining, base::Millis now) {
  const double begins_with = static_cast<double>(remaining);
  if (!m_reference || begins_with < gain * static_cast<double>(*m_reference)) {
    m_reference = remaining;
    m_passes_without_gain = 0;
    m_hoped = now;
    return;
  }
  if (begins_with > another_phase * static_cast<double>(*m_reference)) m_reference = remaining;
  ++m_passes_without_gain;
}

void Steering::see(std::uint64_t remaining, base::Millis now) {
  if (!m_remaining || remaining > *m_remaining) begin_pass(remaining, now);
  m_remaining = remaining;
}

Steering::Advice Steering::look(const ports::MoveProgress& progress, base::Millis now) {
  const bool first = m_changed == base::Millis{0};
  if (first || progress.processed.value != m_processed || progress.remaining.value != m_remaining.value_or(0)) {
    m_processed = progress.processed.value;
    m_changed = now;
  }
  // Before the job has figures, everything is 0.
  if (progress.remaining.value != 0) see(progress.remaining.value, now);
  if (still(now) > standstill) return Advice::give_up;

  const base::Millis waited = now - m_hoped;
  if (m_limit < m_most) {
    if (m_passes_without_gain < passes_to_raise || waited < time_to_raise) return Advice::go_on;
    m_limit = std::min(m_limit + m_most / 3 + base::Millis{1}, m_most);
    m_passes_without_gain = 0;
    m_hoped = now;
    return Advice::raise_limit;
  }
  const bool hopeless = m_passes_without_gain >= passes_to_give_up && waited >= time_to_give_up;
  return hopeless ? Advice::give_up : Advice::go_on;
}

}  // namespace umbra::switchover
