// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a live migration converges, from its progress alone, and what to do where it does not. Pure.

#include <algorithm>
#include <optional>

#include "base/clock.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::switchover {

/// What remains falls during a pass over memory and rises when the next begins. While each pass begins with clearly
/// less than one before, nothing is touched, however long a pass takes. Else the allowed blackout is raised in steps,
/// up to the policy's limit, and the migration given up on when that does not help either, or when nothing moves at
/// all.
class Steering {
 public:
  enum class Advice { go_on, raise_limit, give_up };

  explicit Steering(base::Millis most) : m_most(most), m_limit(std::max(most / 3, base::Millis{1})) {}
  /// The blackout to allow now.
  base::Millis limit() const { return m_limit; }
  Advice look(const ports::MoveProgress& progress, base::Millis now);
  /// How long nothing has moved; after `standstill` the migration is given up on.
  base::Millis still(base::Millis now) const { return now - m_changed; }
  static constexpr base::Millis standstill{60'000};  ///< longer than libvirt's keepalive, which settles a cut link

 private:
  void see(std::uint64_t remaining, base::Millis now);
  void begin_pass(std::uint64_t remaining, base::Millis now);

  base::Millis m_most;
  base::Millis m_limit;
  std::optional<std::uint64_t> m_remaining;  ///< at the last look
  std::uint64_t m_processed = 0;
  base::Millis m_changed{0};                 ///< when either was last another
  std::optional<std::uint64_t> m_reference;  ///< with which the last pass began that was a gain
  unsigned m_passes_without_gain = 0;
  base::Millis m_hoped{0};  ///< since the last gain or raise
};

}  // namespace umbra::switchover
