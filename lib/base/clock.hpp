// SPDX-License-Identifier: Apache-2.0
#pragma once
// Time: wall-clock instants as RFC 3339 UTC, durations as typed by the user ("30m"), and a clock that tests can set.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace umbra::base {

using Instant = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
using Seconds = std::chrono::duration<double>;
using Millis = std::chrono::milliseconds;

/// Where effectful code takes the time from.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  /// Monotonic, for durations.
  virtual Millis steady() const = 0;
  /// Waits between two looks at a condition; never longer than `most`.
  virtual void pause(Millis most) = 0;
};

/// The machine's own clock.
Clock& system_clock();

/// Looks at `done` until it is true (returns true) or `deadline` has passed (returns false), pausing `step` between
/// looks.
bool wait_until(Clock& clock, Millis deadline, Millis step, const std::function<bool()>& done);

/// "2026-11-24T10:00:00Z"; milliseconds are given only where they are not zero.
std::string to_rfc3339(Instant instant);
/// Reads RFC 3339 with Z or an offset; nothing where `text` is none.
std::optional<Instant> parse_rfc3339(std::string_view text);
/// "90s", "30m", "2h", "1d", "500ms", a sum such as "1h30m"; nothing where the form or the unit is wrong, or
/// where it is longer than ten years.
std::optional<Seconds> parse_duration(std::string_view text);
/// "1h30m", "45s", "0.18s": the shortest exact enough form for a person.
std::string to_human(Seconds duration);

}  // namespace umbra::base
