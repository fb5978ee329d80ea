// SPDX-License-Identifier: Apache-2.0
#pragma once
// Cancellation: a request to stop, made by a signal or a caller, that long work looks at between steps.

#include <atomic>

#include "base/error.hpp"

namespace umbra::base {

class CancelToken {
 public:
  /// Safe in a signal handler.
  void request(int signal_number) noexcept { m_signal.store(signal_number); }
  /// 0 while nothing was requested, else the signal's number.
  int signal() const noexcept { return m_signal.load(); }
  bool requested() const noexcept { return signal() != 0; }
  /// Throws Kind::cancelled once a stop was requested.
  void check() const {
    if (requested()) throw Error(Kind::cancelled, "stopped by signal");
  }

 private:
  std::atomic<int> m_signal{0};
  static_assert(std::atomic<int>::is_always_lock_free);
};

}  // namespace umbra::base
