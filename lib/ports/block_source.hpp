// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the blocks of one disk are read from.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/page_aligned.hpp"
#include "model/ids.hpp"

namespace umbra::ports {

struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool zero = false;    ///< reads as zeroes, need not be read
  bool changed = true;  ///< since the checkpoint or layer that was asked for; true where nothing was asked for
};

struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Its first bytes are a range's; it may be larger.
using Buffer = std::vector<std::byte, base::PageAligned<std::byte>>;

/// For one thread at a time, but for stop().
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  virtual model::ByteCount size() const = 0;
  /// Whether `changed` of the extents says anything.
  virtual bool tracks_changes() const = 0;
  /// Every extent of the disk in rising order, without gaps.
  virtual void each_extent(const std::function<void(const Extent&)>& each) = 0;
  /// Reads the ranges (rising, each of at most 4 MiB) and hands them over in order; may read ahead.
  virtual void read(std::span<const Range> ranges,
                    const std::function<void(const Range&, std::span<const std::byte>)>& each) = 0;
  /// The same for a receiver that keeps what it is given: `each` may swap another buffer for it. Without an override
  /// the bytes are copied.
  virtual void read_buffers(std::span<const Range> ranges, const std::function<void(const Range&, Buffer&)>& each);
  /// Whether a thread of its own may read while the caller's thread does other things: it shares nothing with them.
  virtual bool stands_alone() const { return false; }
  /// From any thread: a read that waits ends soon, by Kind::cancelled, and so does every later one.
  virtual void stop() noexcept {}
};

}  // namespace umbra::ports
