// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: how sources that read files themselves hand over what they read.

#include <atomic>
#include <functional>

#include "base/error.hpp"
#include "ports/block_source.hpp"

namespace umbra::nbd {

class FileReads {
 public:
  using Fill = std::function<void(const ports::Range&, std::span<std::byte>)>;
  using Each = std::function<void(const ports::Range&, ports::Buffer&)>;

  /// From any thread: each_range() and check() end by Kind::cancelled before the next range, now and later.
  void stop() noexcept { m_stopped = true; }
  void check() const {
    if (m_stopped) throw base::Error(base::Kind::cancelled, "the reading was stopped");
  }

  /// One range after the other; `fill` reads it, `each` may keep the buffer.
  void each_range(std::span<const ports::Range> ranges, const Fill& fill, const Each& each) const {
    ports::Buffer buffer;
    for (const ports::Range& range : ranges) {
      check();
      if (buffer.size() < range.length) buffer.resize(range.length);
      fill(range, std::span(buffer).first(range.length));
      each(range, buffer);
    }
  }

 private:
  std::atomic<bool> m_stopped = false;
};

}  // namespace umbra::nbd
