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

/// Ends a read that nobody wants any more.
struct Stopped {};

}  // namespace

void digest_blocks(std::span<const std::byte> bytes, std::vector<base::Digest>& digests) {
  const std::size_t blocks = (bytes.size() + block_size - 1) / block_size;
  std::vector<std::span<const std::byte>> messages;
  std::vector<std::size_t> places;
  messages.reserve(blocks);
  places.reserve(blocks);
  digests.assign(blocks, base::Digest{});
  for (std::size_t i = 0; i < blocks; ++i) {
    const auto block = bytes.subspan(i * block_size, std::min<std::size_t>(block_size, bytes.size() - i * block_size));
    if (base::all_zero(block)) continue;
    messages.push_back(block);
    places.push_back(i);
  }
  std::vector<base::Digest> found(messages.size());
  base::sha256_each(messages, found);
  for (std::size_t i = 0; i < places.size(); ++i) digests[places[i]] = found[i];
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
  try {
    for (std::vector<Range> ranges = m_next(); !ranges.empty(); ranges = m_next()) {
      m_source.read_buffers(ranges, [this](const Range& range, Buffer& bytes) {
        if (!give(range, bytes)) throw Stopped{};
      });
    }
  } catch (const Stopped&) {
    // Whoever took has left, and knows why.
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard lock(m_mutex);
  m_failure = failure;
  m_ended = true;
  m_given.notify_one();
}

bool ReadAhead::give(const Range& range, Buffer& bytes) {
  Piece piece;
  {
    std::unique_lock lock(m_mutex);
    while (!m_stopped && m_spare.empty()) {
      if (Entry* entry = unhashed())
        hash(*entry, lock);
      else
        m_freed.wait(lock, [this] { return m_stopped || !m_spare.empty(); });
    }
    if (m_stopped) return false;
    piece = std::move(m_spare.back());
    m_spare.pop_back();
  }
  piece.range = range;
  piece.bytes.swap(bytes);
  std::unique_lock lock(m_mutex);
  Entry& entry = m_ready.emplace_back(Entry{std::move(piece)});
  const auto left = std::ranges::count(m_ready, State::read, &Entry::state);
  if (m_is_awaited && left <= most_left)
    m_given.notify_one();
  else
    hash(entry, lock);
  return true;
}

void ReadAhead::hash(Entry& entry, std::unique_lock<std::mutex>& lock) {
  entry.state = State::hashing;
  lock.unlock();
  try {
    digest_blocks(std::span<const std::byte>(entry.piece.bytes).first(entry.piece.range.length), entry.piece.digests);
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
