// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading and hashing on a thread of its own, ahead of whoever takes the blocks: the two cores of a host work at once.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "base/digest.hpp"
#include "ports/block_source.hpp"

namespace umbra::ports {

/// A range of whole blocks (the disk's last may be short) with their digests; a block of zeroes has the zero digest.
struct Piece {
  Range range;
  Buffer bytes;
  std::vector<base::Digest> digests;
};

/// Per block of `bytes`, into `digests`.
void digest_blocks(std::span<const std::byte> bytes, std::vector<base::Digest>& digests);

/// Signals stay with the thread that made it. Of the two ends whichever fails ends the other; nothing of it runs on
/// when this object is gone.
class ReadAhead {
 public:
  /// The next ranges to read, in order; empty at the end. Called on the other thread.
  using Next = std::function<std::vector<Range>()>;
  /// `source` is the other thread's until take() gave null or this object is gone.
  ReadAhead(BlockSource& source, Next next);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The next piece, in order, good until the next call; null at the end. Throws what reading threw, after all that was
  /// read before, and Kind::cancelled soon after it was asked for.
  const Piece* take(const base::CancelToken& cancel);

 private:
  void run() noexcept;
  /// False where nothing more is to be read.
  bool give(const Range& range, Buffer& bytes);

  BlockSource& m_source;
  Next m_next;
  std::mutex m_mutex;
  std::condition_variable m_given;
  std::condition_variable m_freed;
  std::deque<Piece> m_ready;
  std::vector<Piece> m_spare;
  Piece m_taken;
  bool m_has_taken = false;
  bool m_ended = false;    ///< the thread reads no more
  bool m_stopped = false;  ///< nobody takes any more
  std::exception_ptr m_failure;
  std::thread m_thread;
};

}  // namespace umbra::ports
