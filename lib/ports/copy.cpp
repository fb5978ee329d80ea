// SPDX-License-Identifier: Apache-2.0
#include "ports/copy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace umbra::ports {
namespace {

using model::block_size;

// One read is at most this long: long enough to fill a connection, short enough to stop soon when asked to.
constexpr std::uint64_t longest_range = 1u << 20;
// Ranges handed over in one call: what a source may read ahead, 64 MiB at most.
constexpr std::size_t ranges_at_once = 64;

constexpr base::Millis longest_pause{200};

enum class State : std::uint8_t { untouched, zero, data };

std::uint64_t length_of(std::uint64_t block, std::uint64_t size) {
  return std::min(block_size, size - block * block_size);
}

/// What the extents say of each block. A block that they cut through is read whole.
class BlockMap {
 public:
  explicit BlockMap(model::ByteCount size) : m_size(size.value), m_states(model::blocks_in(size), State::untouched) {}

  void mark(const Extent& extent) {
    if (extent.length == 0 || extent.offset >= m_size) return;
    const std::uint64_t end = std::min(extent.offset + extent.length, m_size);
    for (std::uint64_t block = extent.offset / block_size; block * block_size < end; ++block) {
      const std::uint64_t start = block * block_size;
      const bool whole = extent.offset <= start && start + length_of(block, m_size) <= end;
      m_states[block] = whole && extent.zero ? State::zero : State::data;
    }
  }

  std::uint64_t blocks() const { return m_states.size(); }
  State at(std::uint64_t block) const { return m_states[block]; }

  model::ByteCount looked_at() const {
    model::ByteCount sum;
    for (std::uint64_t block = 0; block < blocks(); ++block) {
      if (m_states[block] != State::untouched) sum.value += length_of(block, m_size);
    }
    return sum;
  }

 private:
  std::uint64_t m_size;
  std::vector<State> m_states;
};

/// Tells the sink what differs from the parent; neighbouring blocks of zeroes become one range.
class Teller {
 public:
  Teller(BlockSink& sink, ChangeDigest& changes, const CopyJob& job, std::uint64_t size)
      : m_sink(sink), m_changes(changes), m_job(job), m_size(size), m_kept(job.kept.begin()) {}

  void zero(std::uint64_t block) {
    if (is_there(block, base::Digest{})) return;
    if (m_zeroes > 0 && m_first_zero + m_zeroes != block) flush();
    if (m_zeroes == 0) m_first_zero = block;
    ++m_zeroes;
    m_counts.zero.value += length_of(block, m_size);
  }

  void data(std::uint64_t block, std::span<const std::byte> bytes) {
    if (base::all_zero(bytes)) return zero(block);
    const base::Digest digest = base::sha256(bytes);
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
  /// Whether the point would hold this block anyway. Blocks come in rising order.
  bool is_there(std::uint64_t block, const base::Digest& digest) {
    while (m_kept != m_job.kept.end() && m_kept->block + m_kept->count <= block) ++m_kept;
    if (m_kept == m_job.kept.end() || block < m_kept->block) return m_job.parent.same(block, digest);
    if (digest != m_kept->digest) return false;
    m_counts.resumed.value += length_of(block, m_size);
    return true;
  }

  BlockSink& m_sink;
  ChangeDigest& m_changes;
  const CopyJob& m_job;
  std::uint64_t m_size;
  std::vector<model::BlockRun>::const_iterator m_kept;  ///< the first that does not end below the last block asked for
  std::uint64_t m_first_zero = 0;
  std::uint64_t m_zeroes = 0;
  CopyCounts m_counts;
};

/// What of `kept` lies in an extent is looked at. Both rise; `next` is where the last extent left off.
void mark_kept(BlockMap& map, const Extent& extent, const std::vector<model::BlockRun>& kept, std::size_t& next) {
  const std::uint64_t end = extent.offset + extent.length;
  for (; next < kept.size(); ++next) {
    const std::uint64_t from = kept[next].block * block_size;
    const std::uint64_t to = from + kept[next].count * block_size;
    if (from < end && extent.offset < to) {
      const std::uint64_t start = std::max(from, extent.offset);
      map.mark({start, std::min(to, end) - start, extent.zero, true});
    }
    if (to > end) return;  // the next extent has the rest
  }
}

/// The next ranges to read from `block` on; `block` ends behind the last of them.
std::vector<Range> next_ranges(const BlockMap& map, std::uint64_t size, std::uint64_t& block) {
  std::vector<Range> ranges;
  for (; block < map.blocks(); ++block) {
    if (map.at(block) != State::data) continue;
    const std::uint64_t start = block * block_size;
    const bool joins = !ranges.empty() && ranges.back().offset + ranges.back().length == start &&
                       ranges.back().length + block_size <= longest_range;
    if (!joins && ranges.size() == ranges_at_once) break;
    if (!joins) ranges.push_back({start, 0});
    ranges.back().length += length_of(block, size);
  }
  return ranges;
}

}  // namespace

bool ParentBlocks::same(std::uint64_t block, const base::Digest& digest) const {
  if (!m_known) return false;
  const bool present = m_manifest != nullptr && block < m_manifest->blocks.size();
  return digest == (present ? m_manifest->blocks[block] : base::Digest{});
}

Pace::Pace(base::Clock& clock, const base::CancelToken& cancel, RateLimit limit)
    : m_clock(clock), m_cancel(cancel), m_limit(std::move(limit)), m_start(clock.steady()) {}

void Pace::keep(model::ByteCount sent) {
  const model::ByteCount more{sent.value - m_sent.value};
  m_sent = sent;
  const std::optional<model::ByteRate> limit = m_limit();
  if (!limit || limit->value <= 0) return;
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
  const std::uint64_t size = source.size().value;
  BlockMap map(source.size());
  std::size_t next_kept = 0;
  source.each_extent([&](const Extent& extent) {
    if (job.look == Look::all || extent.changed) map.mark(extent);
    mark_kept(map, extent, job.kept, next_kept);
  });

  Teller teller(sink, changes, job, size);
  const model::ByteCount total = map.looked_at();
  model::ByteCount done;
  std::uint64_t told = 0;  // blocks below are told or not to be told
  const model::ByteCount sent_before = sink.sent();
  const auto tell_progress = [&] {
    if (progress) progress({done, total, teller.counts().data, {sink.sent().value - sent_before.value}});
  };
  const auto tell_zeroes_below = [&](std::uint64_t end) {
    for (; told < end; ++told) {
      if (map.at(told) != State::zero) continue;
      teller.zero(told);
      done.value += length_of(told, size);
    }
  };
  const auto tell_range = [&](const Range& range, std::span<const std::byte> bytes) {
    cancel.check();
    for (std::uint64_t at = 0; at < range.length; at += block_size) {
      const std::uint64_t block = (range.offset + at) / block_size;
      tell_zeroes_below(block);
      const std::uint64_t length = length_of(block, size);
      teller.data(block, bytes.subspan(at, length));
      done.value += length;
      told = block + 1;
    }
    pace.keep(sink.sent());
    tell_progress();
  };

  for (std::uint64_t block = 0; block < map.blocks();) {
    cancel.check();
    const std::vector<Range> ranges = next_ranges(map, size, block);
    if (!ranges.empty()) source.read(ranges, tell_range);
  }
  tell_zeroes_below(map.blocks());
  teller.flush();
  tell_progress();
  teller.counts().looked = total;
  return teller.counts();
}

}  // namespace umbra::ports
