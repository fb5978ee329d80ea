// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reading on a thread of its own, ahead of whoever takes the blocks, and hashing on both: the two cores of a host work
// at once, whichever of them has less else to do.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "base/digest.hpp"
#include "model/points.hpp"
#include "ports/block_source.hpp"

namespace umbra::ports {

/// Ranges of whole blocks (the disk's last may be short) with their digests; a block of zeroes has the zero digest.
struct Piece {
  std::vector<Range> ranges;  ///< rising
  Buffer bytes;               ///< of one range after the other, each from a whole block on
  std::uint64_t length = 0;   ///< of what `bytes` holds
  std::vector<base::Digest> digests;

  /// Hands over range by range.
  template <class Each>
  void each_range(Each&& each) const {
    std::uint64_t at = 0;
    for (const Range& range : ranges) {
      const std::uint64_t blocks = (range.length + model::block_size - 1) / model::block_size;
      each(range, std::span<const std::byte>(bytes).subspan(at, range.length),
           std::span<const base::Digest>(digests).subspan(at / model::block_size, blocks));
      at += blocks * model::block_size;
    }
  }
};

/// So much can be digested best: its blocks side by side (base::sha256_each). Shorter reads are put together.
inline constexpr std::uint64_t best_read = 16 * model::block_size;

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
  enum class State { read, hashing, hashed };
  struct Entry {
    Piece piece;
    State state = State::read;
  };

  void run() noexcept;
  /// False where nothing more is to be read.
  bool add(const Range& range, Buffer& bytes);
  /// What was gathered goes to whoever takes; the same.
  bool give();
  /// `lock` is released meanwhile.
  void hash(Entry& entry, std::unique_lock<std::mutex>& lock);
  /// The first piece that nobody hashes yet; null where there is none.
  Entry* unhashed();

  BlockSource& m_source;
  Next m_next;
  std::mutex m_mutex;
  std::condition_variable m_given;
  std::condition_variable m_freed;
  std::deque<Entry> m_ready;  ///< read, in order; an entry stays in place until it is taken
  std::vector<Piece> m_spare;
  Piece m_gathered;  ///< the thread's own: ranges that are not given yet
  Piece m_taken;
  bool m_has_taken = false;
  bool m_is_awaited = false;  ///< whoever takes has nothing to do but to wait, or to hash
  bool m_ended = false;       ///< the thread reads no more
  bool m_stopped = false;     ///< nobody takes any more
  std::exception_ptr m_failure;
  std::thread m_thread;
};

}  // namespace umbra::ports
