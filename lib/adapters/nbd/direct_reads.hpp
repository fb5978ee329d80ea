// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: files read from the disk itself, past the kernel's cache, with several reads in flight
// (O_DIRECT and io_submit(2)). What is in the cache stays there, and costs no copy.

#include <functional>

#include "base/fd.hpp"
#include "ports/block_source.hpp"

namespace umbra::nbd {

/// A file opened for both ways of reading.
struct DirectFile {
  base::UniqueFd cached;
  base::UniqueFd direct;  ///< none where the file system has no such reads
};

class DirectReads {
 public:
  struct Reads;  ///< of a range under way
  /// Adds what makes up the range.
  using Begin = std::function<void(const ports::Range&, std::span<std::byte>, Reads&)>;

  DirectReads() = default;
  ~DirectReads();
  DirectReads(const DirectReads&) = delete;
  DirectReads& operator=(const DirectReads&) = delete;

  /// One range after the other to `each`, which may keep the buffer; the next ones are read meanwhile.
  void each_range(std::span<const ports::Range> ranges, const Begin& begin,
                  const std::function<void(const ports::Range&, ports::Buffer&)>& each);
  /// Reads a part of the range. Zeroes past the file's end; a place or length that the disk can't do comes from the
  /// cache.
  void add(Reads& reads, const DirectFile& file, std::uint64_t place, std::span<std::byte> into);

 private:
  struct Request;
  void start(Request& request);
  void collect();
  void drain() noexcept;
  unsigned long m_context = 0;  ///< the kernel's aio_context_t; 0: there is none, and one read is made at a time
  std::size_t m_in_flight = 0;
  std::vector<ports::Buffer> m_spare;  ///< kept, since memory that is new costs a fault a page
};

}  // namespace umbra::nbd
