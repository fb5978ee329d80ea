// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether a live migration converges, from its progress alone, and what to do where it does not. Pure.

#include <algorithm>
#include <optional>

#include "base/clock.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::switchover {

/// How far steering may go.
struct Bounds {
  base::Millis blackout{300};
  std::optional<base::Seconds> brownout{};  ///< since the migration began
  bool postcopy = false;
};

/// What remains falls during a pass over memory and rises when the next begins. While each pass begins with clearly
/// less than one before, nothing is touched, however long a pass takes: so it is too where QEMU slows the guest down.
/// Else the allowed blackout is raised, up to its bound, in small steps or to what the last pass shows to be needed.
/// Where that does not help either, or the brownout lasts too long, the guest is moved before its memory, once,
/// where that is allowed, else the migration is given up on, yet not while the guest is slowed down ever more: passes
/// count from the last such step. So it is when nothing moves at all. The speed is not steered: the guest is slowed for
/// as long as it moves, so it moves as fast as it may from the beginning.
class Steering {
 public:
  enum class Advice { go_on, raise_limit, start_postcopy, give_up };
  enum class Reason { not_converging, brownout, standstill };

  explicit Steering(const Bounds& bounds)
      : m_bounds(bounds), m_limit(std::max(bounds.blackout / first_part, base::Millis{1})) {}
  /// The blackout to allow now.
  base::Millis limit() const { return m_limit; }
  Advice look(const ports::MoveProgress& progress, base::Millis now);
  Reason reason() const { return m_reason; }  ///< of the last give_up or start_postcopy
  /// The blackout in which the migration could end as it goes now; nothing where no pass was seen whole.
  std::optional<base::Millis> needed() const;
  /// How long nothing has moved; after `standstill` the migration is given up on.
  base::Millis still(base::Millis now) const { return now - m_changed; }
  static constexpr base::Millis standstill{60'000};  ///< longer than libvirt's keepalive, which settles a cut link

 private:
  static constexpr int first_part = 6;
  void see(const ports::MoveProgress& progress, base::Millis now);
  void begin_pass(std::uint64_t remaining, base::Millis now);
  Advice raise();
  Advice last_resort(Reason reason, base::Millis now);

  Bounds m_bounds;
  base::Millis m_limit;
  Reason m_reason = Reason::not_converging;
  std::optional<std::uint64_t> m_remaining;  ///< at the last look
  std::uint64_t m_processed = 0;
  base::Millis m_changed{0};                 ///< when either was last another
  std::optional<base::Millis> m_began;       ///< with the first figures
  std::optional<std::uint64_t> m_reference;  ///< with which the last pass began that was a gain
  std::uint64_t m_least = 0;                 ///< that was left at the end of the last pass
  double m_bytes_per_s = 0;                  ///< that got through last
  unsigned m_passes_without_gain = 0;
  double m_slowed = 0;
  unsigned m_passes_as_slow = 0;  ///< since it was slowed down more
  base::Millis m_hoped{0};        ///< since the last gain or raise
  std::optional<base::Millis> m_postcopy_asked;
};

/// When to ask the hosts again about what does not change: at once, then ever more rarely, with a fifth of the time
/// that has passed between two looks, up to a second.
class Asking {
 public:
  /// Whether it is time to; then the next time is later.
  bool due(base::Millis now);
  void begin_anew() { *this = {}; }
  unsigned asked() const { return m_asked; }

 private:
  std::optional<base::Millis> m_since;
  base::Millis m_next{0};
  unsigned m_asked = 0;
};

}  // namespace umbra::switchover
