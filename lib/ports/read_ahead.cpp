// SPDX-License-Identifier: Apache-2.0
#include "ports/read_ahead.hpp"

#include <algorithm>
#include <chrono>

#include "base/thread.hpp"
#include "model/points.hpp"

namespace umbra::ports {
namespace {

using model::block_size;

constexpr std::size_t most_pieces = 16;
constexpr std::chrono::milliseconds between_looks{100};  // at whether a stop was asked for

/// Ends a read that nobody wants any more.
struct Stopped {};

}  // namespace

void digest_blocks(std::span<const std::byte> bytes, std::vector<base::Digest>& digests) {
  digests.clear();
  for (std::size_t at = 0; at < bytes.size(); at += block_size) {
    const auto block = bytes.subspan(at, std::min<std::size_t>(block_size, bytes.size() - at));
    digests.push_back(base::all_zero(block) ? base::Digest{} : base::sha256(block));
  }
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
    m_freed.wait(lock, [this] { return m_stopped || !m_spare.empty(); });
    if (m_stopped) return false;
    piece = std::move(m_spare.back());
    m_spare.pop_back();
  }
  piece.range = range;
  piece.bytes.swap(bytes);
  digest_blocks(std::span<const std::byte>(piece.bytes).first(range.length), piece.digests);
  const std::lock_guard lock(m_mutex);
  m_ready.push_back(std::move(piece));
  m_given.notify_one();
  return true;
}

const Piece* ReadAhead::take(const base::CancelToken& cancel) {
  std::unique_lock lock(m_mutex);
  if (m_has_taken) {
    m_spare.push_back(std::move(m_taken));
    m_has_taken = false;
    m_freed.notify_one();
  }
  while (!m_given.wait_for(lock, between_looks, [this] { return m_ended || !m_ready.empty(); })) cancel.check();
  cancel.check();
  if (m_ready.empty()) {
    if (m_failure) std::rethrow_exception(m_failure);
    return nullptr;
  }
  m_taken = std::move(m_ready.front());
  m_ready.pop_front();
  m_has_taken = true;
  return &m_taken;
}

}  // namespace umbra::ports
