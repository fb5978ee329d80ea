// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: files read from the disk itself, past the kernel's cache, with several reads in flight
// (O_DIRECT and io_submit(2)). What is in the cache stays there, and costs no copy.

#include <deque>
#include <functional>
#include <memory>

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
  struct Request;
  /// A range under way.
  class Reads {
   public:
    /// Zeroes past the file's end. A place or length that the disk can't do is read through the cache.
    void add(const DirectFile& file, std::uint64_t place, std::span<std::byte> into);

   private:
    friend class DirectReads;
    explicit Reads(DirectReads& by) : m_by(by) {}
    void complete(Request& request) const;
    DirectReads& m_by;
    std::deque<Request> m_requests;  // they stay in place
    std::size_t m_left = 0;
    ports::Range m_range;
    ports::Buffer m_buffer;
  };
  /// Adds what makes up the range.
  using Begin = std::function<void(const ports::Range&, std::span<std::byte>, Reads&)>;

  /// Null where the kernel has no such reads to give.
  static std::unique_ptr<DirectReads> open();
  ~DirectReads();
  DirectReads(const DirectReads&) = delete;
  DirectReads& operator=(const DirectReads&) = delete;

  /// One range after the other to `each`, which may keep the buffer; the next ones are read meanwhile.
  void each_range(std::span<const ports::Range> ranges, const Begin& begin,
                  const std::function<void(const ports::Range&, ports::Buffer&)>& each);

 private:
  explicit DirectReads(unsigned long context) : m_context(context) {}
  void start(Request& request);
  void collect();
  void drain() noexcept;
  unsigned long m_context;  ///< the kernel's aio_context_t
  std::size_t m_in_flight = 0;
};

}  // namespace umbra::nbd
