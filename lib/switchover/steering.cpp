// SPDX-License-Identifier: Apache-2.0
#include "switchover/steering.hpp"

#include <algorithm>
#include <cmath>

namespace umbra::switchover {
namespace {

/// A pass is a gain where it begins with less than this part of the one that it is compared with.
constexpr double gain = 0.95;
/// So much more than before is another phase (disks, then memory) or another load: compared with from now on.
constexpr double another_phase = 2.0;
constexpr unsigned passes_to_raise = 2;
constexpr base::Millis time_to_raise{1'000};
constexpr base::Millis time_to_postcopy{2'000};
constexpr base::Millis time_to_begin_postcopy{10'000};
constexpr unsigned passes_to_give_up = 4;
constexpr base::Millis time_to_give_up{30'000};
/// Above what is needed, so that the next pass is not just too long.
constexpr double margin = 1.2;
constexpr int small_steps = 10;
constexpr int large_steps = 3;

constexpr base::Millis least_between{50};
constexpr base::Millis most_between{1'000};

}  // namespace

void Steering::begin_pass(std::uint64_t remaining, base::Millis now) {
  ++m_passes_as_slow;
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

void Steering::see(const ports::MoveProgress& progress, base::Millis now) {
  const std::uint64_t remaining = progress.remaining.value;
  if (!m_began) m_began = now;
  if (progress.bytes_per_s > 0) m_bytes_per_s = progress.bytes_per_s;
  if (progress.slowed > m_slowed) m_passes_as_slow = 0;
  m_slowed = std::max(m_slowed, progress.slowed);
  if (!m_remaining || remaining > *m_remaining) {
    // What a pass begins with is what the guest changed during the one before: it can't be stopped for less.
    if (m_remaining) m_least = remaining;
    begin_pass(remaining, now);
  }
  m_remaining = remaining;
}

std::optional<base::Millis> Steering::needed() const {
  if (m_least == 0 || m_bytes_per_s <= 0) return std::nullopt;
  return base::Millis(static_cast<base::Millis::rep>(std::ceil(1000 * static_cast<double>(m_least) / m_bytes_per_s)));
}

Steering::Advice Steering::raise() {
  const base::Millis most = m_bounds.blackout;
  const auto need = needed();
  const base::Millis wanted(need ? static_cast<base::Millis::rep>(static_cast<double>(need->count()) * margin) : 0);
  // Where all of it would not do, it is soon seen whether it does.
  const base::Millis step = most / (wanted > most ? large_steps : small_steps) + base::Millis{1};
  m_limit = std::min(wanted > most ? m_limit + step : std::max(m_limit + step, wanted), most);
  return Advice::raise_limit;
}

Steering::Advice Steering::last_resort(Reason reason, base::Millis now) {
  m_reason = reason;
  if (!m_bounds.postcopy) return Advice::give_up;
  if (m_postcopy_asked) return now - *m_postcopy_asked > time_to_begin_postcopy ? Advice::give_up : Advice::go_on;
  m_postcopy_asked = now;
  return Advice::start_postcopy;
}

Steering::Advice Steering::look(const ports::MoveProgress& progress, base::Millis now) {
  const bool first = m_changed == base::Millis{0};
  if (first || progress.processed.value != m_processed || progress.remaining.value != m_remaining.value_or(0)) {
    m_processed = progress.processed.value;
    m_changed = now;
  }
  if (progress.postcopy) return Advice::go_on;  // there is no way back, and the rest comes or does not
  // Before the job has figures, everything is 0.
  if (progress.remaining.value != 0) see(progress, now);
  if (still(now) > standstill) {
    m_reason = Reason::standstill;
    return Advice::give_up;
  }
  if (progress.stopped) return Advice::go_on;
  if (m_bounds.brownout && m_began && now - *m_began > *m_bounds.brownout) return last_resort(Reason::brownout, now);

  const base::Millis waited = now - m_hoped;
  if (m_limit < m_bounds.blackout) {
    if (m_passes_without_gain < passes_to_raise || waited < time_to_raise) return Advice::go_on;
    m_passes_without_gain = 0;
    m_hoped = now;
    return raise();
  }
  const bool to_postcopy = m_bounds.postcopy && m_passes_without_gain >= passes_to_raise && waited >= time_to_postcopy;
  const bool hopeless =
      std::min(m_passes_without_gain, m_passes_as_slow) >= passes_to_give_up && waited >= time_to_give_up;
  return to_postcopy || hopeless ? last_resort(Reason::not_converging, now) : Advice::go_on;
}

bool Asking::due(base::Millis now) {
  if (!m_since) {
    m_since = now;
    m_next = now;
  }
  if (now < m_next) return false;
  ++m_asked;
  m_next = now + std::clamp((now - *m_since) / 5, least_between, most_between);
  return true;
}

}  // namespace umbra::switchover
