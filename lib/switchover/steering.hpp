// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a live migration converges, from its progress alone, and what to do where it does not. Pure.

#include "base/clock.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::switchover {

/// What remains rises and falls with every pass over memory; what counts is the most that remained within a span. While
/// that falls from span to span, nothing is touched. Else the allowed blackout is raised in steps, up to the policy's
/// limit, and given up on when that does not help either.
class Steering {
 public:
  enum class Advice { go_on, raise_limit, give_up };

  explicit Steering(base::Millis most) : m_most(most), m_limit(most / 3) {}
  /// The blackout to allow now.
  base::Millis limit() const { return m_limit; }
  Advice look(const ports::MoveProgress& progress, base::Millis now);

 private:
  base::Millis m_most;
  base::Millis m_limit;
  std::optional<base::Millis> m_span_began;
  std::uint64_t m_most_in_span = 0;
  std::optional<std::uint64_t> m_least;  ///< of all spans' most
  unsigned m_spans_without_gain = 0;
};

}  // namespace umbra::switchover
