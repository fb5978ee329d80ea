// SPDX-License-Identifier: Apache-2.0
#include "ports/read_ahead.hpp"

#include <algorithm>
#include <chrono>

#include "base/thread.hpp"

namespace umbra::ports {
namespace {

using model::block_size;

constexpr std::size_t most_pieces = 8;
constexpr std::ptrdiff_t most_left = 2;                  // pieces that wait to be hashed by whoever takes
constexpr std::chrono::milliseconds between_looks{100};  // at whether a stop was asked for

void digest_spans(std::span<const std::span<const std::byte>> blocks, std::vector<base::Digest>& digests) {
  std::vector<std::span<const std::byte>> messages;
  std::vector<std::size_t> places;
  messages.reserve(blocks.size());
  places.reserve(blocks.size());
  digests.assign(blocks.size(), base::Digest{});
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (base::all_zero(blocks[i])) continue;
    messages.push_back(blocks[i]);
    places.push_back(i);
  }
  std::vector<base::Digest> found(messages.size());
  base::sha256_each(messages, found);
  for (std::size_t i = 0; i < places.size(); ++i) digests[places[i]] = found[i];
}

void add_blocks(std::span<const std::byte> bytes, std::vector<std::span<const std::byte>>& blocks) {
  for (std::size_t at = 0; at < bytes.size(); at += block_size)
    blocks.push_back(bytes.subspan(at, std::min<std::size_t>(block_size, bytes.size() - at)));
}

void digest_piece(Piece& piece) {
  std::vector<std::span<const std::byte>> blocks;
  std::uint64_t at = 0;
  for (const Range& range : piece.ranges) {
    add_blocks(std::span<const std::byte>(piece.bytes).subspan(at, range.length), blocks);
    at += (range.length + block_size - 1) / block_size * block_size;
  }
  digest_spans(blocks, piece.digests);
}

/// Ends a read that nobody wants any more.
struct Stopped {};

}  // namespace

void digest_blocks(std::span<const std::byte> bytes, std::vector<base::Digest>& digests) {
  std::vector<std::span<const std::byte>> blocks;
  add_blocks(bytes, blocks);
  digest_spans(blocks, digests);
}

ReadAhead::ReadAhead(BlockSource& source, Next next) : m_source(source), m_next(std::move(next)), m_spare(most_pieces) {
  m_thread = base::thread_without_signals([this] { run(); });
}

ReadAhead::~ReadAhead() {
  bool under_way = false;
  {
    const std::lock_guard lock(m_mutex);
    m_stopped = true;
    under_way = !m_ended;
  }
  m_freed.notify_one();
  if (under_way) m_source.stop();
  m_thread.join();
}

void ReadAhead::run() noexcept {
  std::exception_ptr failure;
  const auto guarded = [&](auto&& act) {
    try {
      act();
    } catch (const Stopped&) {
      // Whoever took has left, and knows why.
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  guarded([this] {
    for (std::vector<Range> ranges = m_next(); !ranges.empty(); ranges = m_next()) {
      m_source.read_buffers(ranges, [this](const Range& range, Buffer& bytes) {
        if (!add(range, bytes)) throw Stopped{};
      });
    }
  });
  guarded([this] { give(); });  // what was read before a failure is told before it
  const std::lock_guard lock(m_mutex);
  m_failure = failure;
  m_ended = true;
  m_given.notify_one();
}

bool ReadAhead::add(const Range& range, Buffer& bytes) {
  const std::uint64_t room = (range.length + block_size - 1) / block_size * block_size;
  if (m_gathered.length + room > best_read && !give()) return false;
  Piece& into = m_gathered;
  if (room >= best_read / 2 && into.length == 0) {
    into.bytes.swap(bytes);
  } else {  // a copy costs less than hashing few blocks alone
    if (into.bytes.size() < best_read) into.bytes.resize(best_read);
    std::copy_n(bytes.begin(), range.length, into.bytes.begin() + static_cast<std::ptrdiff_t>(into.length));
  }
  into.ranges.push_back(range);
  into.length += room;
  return into.length < best_read || give();
}

bool ReadAhead::give() {
  if (m_gathered.length == 0) return true;
  {
    std::unique_lock lock(m_mutex);
    while (!m_stopped && m_spare.empty()) {
      if (Entry* entry = unhashed())
        hash(*entry, lock);
      else
        m_freed.wait(lock, [this] { return m_stopped || !m_spare.empty(); });
    }
    if (m_stopped) return false;
    std::swap(m_gathered, m_spare.back());
    m_ready.push_back(Entry{std::move(m_spare.back())});
    m_spare.pop_back();
    m_gathered.ranges.clear();
    m_gathered.length = 0;
    Entry& entry = m_ready.back();
    const auto left = std::ranges::count(m_ready, State::read, &Entry::state);
    if (m_is_awaited && left <= most_left)
      m_given.notify_one();
    else
      hash(entry, lock);
  }
  return true;
}

void ReadAhead::hash(Entry& entry, std::unique_lock<std::mutex>& lock) {
  entry.state = State::hashing;
  lock.unlock();
  try {
    digest_piece(entry.piece);
  } catch (...) {
    lock.lock();
    entry.state = State::read;  // the other thread may fare better, or tell
    throw;
  }
  lock.lock();
  entry.state = State::hashed;
  m_given.notify_one();
}

ReadAhead::Entry* ReadAhead::unhashed() {
  const auto found = std::ranges::find(m_ready, State::read, &Entry::state);
  return found == m_ready.end() ? nullptr : &*found;
}

const Piece* ReadAhead::take(const base::CancelToken& cancel) {
  std::unique_lock lock(m_mutex);
  if (m_has_taken) {
    m_spare.push_back(std::move(m_taken));
    m_has_taken = false;
    m_freed.notify_one();
  }
  m_is_awaited = true;
  const auto is_there = [this] { return m_ready.empty() ? m_ended : m_ready.front().state == State::hashed; };
  while (!is_there()) {
    cancel.check();
    if (Entry* entry = unhashed())
      hash(*entry, lock);
    else
      m_given.wait_for(lock, between_looks, [&] { return is_there() || unhashed() != nullptr; });
  }
  m_is_awaited = false;
  cancel.check();
  if (m_ready.empty()) {
    if (m_failure) std::rethrow_exception(m_failure);
    return nullptr;
  }
  m_taken = std::move(m_ready.front().piece);
  m_ready.pop_front();
  m_has_taken = true;
  return &m_taken;
}

}  // namespace umbra::ports
