// SPDX-License-Identifier: Apache-2.0
#pragma once
// Measures how long a guest's CPUs stand still, by libvirt's lifecycle events.

#include <memory>
#include <optional>

#include "adapters/virt/handles.hpp"
#include "base/clock.hpp"

namespace umbra::virt {

class PauseWatch {
 public:
  /// Watches from now on.
  PauseWatch(_virConnect* connect, _virDomain* domain);
  ~PauseWatch();
  PauseWatch(const PauseWatch&) = delete;
  PauseWatch& operator=(const PauseWatch&) = delete;

  /// The pauses seen so far in all, once the last has ended and, with `expected`, at least one was seen; waits for that
  /// no longer than `deadline`, since events come on their own time.
  base::Seconds paused(bool expected, base::Millis deadline) const;

  /// When the last pause began, by this machine's clock.
  std::optional<base::Instant> last_pause() const;

  struct Seen;

 private:
  _virConnect* m_connect;
  std::shared_ptr<Seen> m_seen;
  int m_callback = -1;
};

}  // namespace umbra::virt
