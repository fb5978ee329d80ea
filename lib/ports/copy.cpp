// SPDX-License-Identifier: Apache-2.0
#include "ports/copy.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ports/block_map.hpp"
#include "ports/read_ahead.hpp"

namespace umbra::ports {
namespace {

using model::block_size;

// Ranges handed over in one call: what a source may read ahead, 16 MiB at most.
constexpr std::size_t ranges_at_once = 16;

constexpr base::Millis longest_pause{200};

using State = BlockMap::State;

/// Tells the sink what differs from the parent; neighbouring blocks of zeroes become one range. Blocks come in rising
/// order.
class Teller {
 public:
  Teller(BlockSink& sink, ChangeDigest& changes, const CopyJob& job, const BlockMap& map)
      : m_sink(sink), m_changes(changes), m_job(job), m_map(map), m_kept(job.kept.next(0)) {}

  /// Of a long run what is zero in the parent too costs no time.
  void zeroes(std::uint64_t first, std::uint64_t count) {
    const std::uint64_t end = first + count;
    for (std::uint64_t block = first; block < end;) {
      pass_by(block);
      const bool is_kept = m_kept.count > 0 && m_kept.block <= block;
      const std::uint64_t kept_end = m_kept.count == 0 ? end : m_kept.block + (is_kept ? m_kept.count : 0);
      const std::uint64_t until = std::min(end, kept_end);
      if (!is_kept)
        zeroes_over_parent(block, until);
      else if (m_kept.digest == base::Digest{})
        m_counts.resumed.value += length_of(block, until);
      else
        tell_zero(block);
      block = until;
    }
  }

  void data(std::uint64_t block, const base::Digest& digest, std::span<const std::byte> bytes) {
    if (digest == base::Digest{}) return zeroes(block, 1);
    if (is_there(block, digest)) return;
    flush();
    m_changes.data(m_job.part, block, digest);
    m_sink.data(m_job.part, block, digest, bytes);
    m_counts.data.value += bytes.size();
  }

  void flush() {
    if (m_zeroes == 0) return;
    m_changes.zero(m_job.part, m_first_zero, m_zeroes);
    m_sink.zero(m_job.part, m_first_zero, m_zeroes);
    m_zeroes = 0;
  }

  CopyCounts& counts() { return m_counts; }

 private:
  void zeroes_over_parent(std::uint64_t block, std::uint64_t end) {
    for (block = m_job.parent.next_not_zero(block, end); block < end;
         block = m_job.parent.next_not_zero(block + 1, end))
      tell_zero(block);
  }

  void tell_zero(std::uint64_t block) {
    if (m_zeroes > 0 && m_first_zero + m_zeroes != block) flush();
    if (m_zeroes == 0) m_first_zero = block;
    ++m_zeroes;
    m_counts.zero.value += m_map.length_of(block);
  }

  /// Kept blocks that end below.
  void pass_by(std::uint64_t block) {
    while (m_kept.count > 0 && m_kept.block + m_kept.count <= block)
      m_kept = m_job.kept.next(m_kept.block + m_kept.count);
  }

  /// Whether the point would hold this block anyway.
  bool is_there(std::uint64_t block, const base::Digest& digest) {
    pass_by(block);
    if (m_kept.count == 0 || block < m_kept.block) return m_job.parent.same(block, digest);
    if (digest != m_kept.digest) return false;
    m_counts.resumed.value += m_map.length_of(block);
    return true;
  }

  std::uint64_t length_of(std::uint64_t first, std::uint64_t end) const {
    return (end - first - 1) * block_size + m_map.length_of(end - 1);
  }

  BlockSink& m_sink;
  ChangeDigest& m_changes;
  const CopyJob& m_job;
  const BlockMap& m_map;
  model::BlockRun m_kept;  ///< the first that does not end below the last block asked for
  std::uint64_t m_first_zero = 0;
  std::uint64_t m_zeroes = 0;
  CopyCounts m_counts;
};

/// What of `kept` lies in an extent is looked at. Both rise; `next` is where the last extent left off.
void mark_kept(BlockMap& map, const Extent& extent, const KeptBlocks& kept, model::BlockRun& next) {
  const std::uint64_t end = extent.offset + extent.length;
  for (; next.count > 0; next = kept.next(next.block + next.count)) {
    const std::uint64_t from = next.block * block_size;
    const std::uint64_t to = from + next.count * block_size;
    if (from < end && extent.offset < to) {
      const std::uint64_t start = std::max(from, extent.offset);
      map.mark({start, std::min(to, end) - start, extent.zero, true});
    }
    if (to > end) return;  // the next extent has the rest
  }
}

/// The next ranges to read from `block` on; `block` ends behind the last of them.
std::vector<Range> next_ranges(const BlockMap& map, std::uint64_t& block) {
  return map.next_data(block, best_read, ranges_at_once);
}

/// Hands `each` what the map says is data, read and hashed: by a thread of its own where the source allows it.
void each_piece(
    BlockSource& source, const BlockMap& map, const base::CancelToken& cancel,
    const std::function<void(const Range&, std::span<const std::byte>, std::span<const base::Digest>)>& each) {
  std::uint64_t block = 0;
  if (source.stands_alone()) {
    std::vector<Range> first = next_ranges(map, block);
    if (first.empty()) return;
    ReadAhead ahead(source, [&] { return first.empty() ? next_ranges(map, block) : std::exchange(first, {}); });
    while (const Piece* piece = ahead.take(cancel)) piece->each_range(each);
    return;
  }
  std::vector<base::Digest> digests;
  for (std::vector<Range> ranges = next_ranges(map, block); !ranges.empty(); ranges = next_ranges(map, block)) {
    cancel.check();
    source.read(ranges, [&](const Range& range, std::span<const std::byte> bytes) {
      cancel.check();
      digest_blocks(bytes, digests);
      each(range, bytes, digests);
    });
  }
}

}  // namespace

bool ParentBlocks::same(std::uint64_t block, const base::Digest& digest) const {
  if (!m_known) return false;
  const bool present = m_manifest != nullptr && block < m_manifest->blocks.size();
  return digest == (present ? m_manifest->blocks[block] : base::Digest{});
}

std::uint64_t ParentBlocks::next_not_zero(std::uint64_t block, std::uint64_t end) const {
  if (!m_known) return std::min(block, end);
  if (m_manifest == nullptr) return end;
  const std::uint64_t there = std::min(end, m_manifest->blocks.size());
  const std::uint64_t found = m_manifest->blocks.next(block, there);
  return found < there ? found : end;
}

Pace::Pace(base::Clock& clock, const base::CancelToken& cancel, RateLimit limit)
    : m_clock(clock), m_cancel(cancel), m_limit(std::move(limit)), m_start(clock.steady()) {}

void Pace::keep(model::ByteCount sent) {
  const model::ByteCount more{sent.value - m_sent.value};
  m_sent = sent;
  const std::optional<model::ByteRate> limit = m_limit();
  if (!limit || limit->value <= 0) return;
  // Time in which nothing was sent is no credit for more than a moment: what comes after it keeps to the rate, too.
  constexpr base::Seconds most_credit{1};
  m_due = std::max(m_due, base::Seconds(m_clock.steady() - m_start) - most_credit);
  m_due += base::Seconds(static_cast<double>(more.value) / limit->value);
  const base::Millis due = m_start + std::chrono::round<base::Millis>(m_due);
  // In short pauses: a request to stop must not wait for a slow line.
  for (;;) {
    const base::Millis ahead = due - m_clock.steady();
    if (ahead <= base::Millis(0)) return;
    m_cancel.check();
    m_clock.pause(std::min(ahead, longest_pause));
  }
}

CopyCounts& CopyCounts::operator+=(const CopyCounts& other) {
  looked += other.looked;
  data += other.data;
  zero += other.zero;
  resumed += other.resumed;
  return *this;
}

CopyCounts send_part(BlockSource& source, BlockSink& sink, ChangeDigest& changes, const CopyJob& job, Pace& pace,
                     const base::CancelToken& cancel, const std::function<void(const CopyProgress&)>& progress) {
  if (source.size().value > model::most_size)
    throw base::Error(base::Kind::unsupported,
                      fmt::format("a disk of {} bytes is larger than the {} that a point can have", source.size().value,
                                  model::most_size));
  BlockMap map(source.size());
  model::BlockRun next_kept = job.kept.next(0);
  source.each_extent([&](const Extent& extent) {
    cancel.check();
    if (job.look == Look::all || extent.changed) map.mark(extent);
    mark_kept(map, extent, job.kept, next_kept);
  });
  cancel.check();

  if (pace.is_limited()) sink.save_bytes();
  Teller teller(sink, changes, job, map);
  const model::ByteCount total = map.looked_at();
  model::ByteCount done;
  std::uint64_t told = 0;  // blocks below are told or not to be told
  const model::ByteCount sent_before = sink.sent();
  const auto tell_progress = [&] {
    if (progress) progress({done, total, teller.counts().data, {sink.sent().value - sent_before.value}});
  };
  const auto tell_zeroes_below = [&](std::uint64_t end) {
    while (told < end) {
      cancel.check();
      const std::uint64_t until = std::min(map.alike_until(told), end);
      if (map.at(told) == State::zero) {
        teller.zeroes(told, until - told);
        done.value += (until - told - 1) * block_size + map.length_of(until - 1);
      }
      told = until;
    }
  };
  each_piece(source, map, cancel, [&](const Range& range, std::span<const std::byte> bytes, auto digests) {
    for (std::size_t i = 0; i < digests.size(); ++i) {
      const std::uint64_t block = range.offset / block_size + i;
      tell_zeroes_below(block);
      const std::uint64_t length = map.length_of(block);
      teller.data(block, digests[i], bytes.subspan(i * block_size, length));
      done.value += length;
      told = block + 1;
    }
    pace.keep(sink.sent());
    if (done < total) tell_progress();  // the end is told once, below
  });
  tell_zeroes_below(map.blocks());
  teller.flush();
  tell_progress();
  teller.counts().looked = total;
  return teller.counts();
}

}  // namespace umbra::ports
