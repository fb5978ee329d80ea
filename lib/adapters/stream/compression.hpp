// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the next block is worth compressing. Two things are asked: may it become smaller at all, and does the stream
// get on faster by it? The latter is tried out: on a slow link compressing is nearly free, between two processes of one
// host it costs more than the bytes that it saves. Pure: times come from the caller.

#include <chrono>
#include <cstdint>
#include <span>

namespace umbra::stream {

/// Whether a sample of the bytes is spread as random bytes are: encrypted or compressed already.
bool looks_random(std::span<const std::byte> data);

class Compression {
 public:
  using Seconds = std::chrono::duration<double>;

  /// Compress whatever the link takes: every byte is counted by someone.
  void always() { m_always = true; }
  /// Whether blocks are compressed just now.
  bool on() const { return m_on || m_always; }
  /// A block of `bytes` was sent. `now` and `blocked`, the time spent in writing until now, count from any start.
  void sent(std::uint64_t bytes, Seconds now, Seconds blocked);

 private:
  void judge(double rate, double waited);
  bool m_always = false;
  bool m_on = true;
  bool m_began = false;
  std::uint64_t m_bytes = 0;  ///< within this window
  Seconds m_since{0};
  Seconds m_blocked_before{0};
  double m_rate = 0;        ///< bytes per second with compression, as last seen
  unsigned m_windows = 0;   ///< since it was switched
  unsigned m_next_try = 1;  ///< windows until the other way is tried
};

}  // namespace umbra::stream
