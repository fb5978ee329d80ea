// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/compression.hpp"

#include <algorithm>
#include <array>

namespace umbra::stream {
namespace {

constexpr std::uint64_t window = 8u << 20;  // more than pipes and sockets swallow without sending
constexpr double held_up = 0.25;            // of the time in writing: the link is what it waits for
constexpr double clearly_faster = 1.3;
constexpr unsigned longest_between_tries = 128;  // windows

constexpr std::size_t pieces = 8;
constexpr std::size_t piece_size = 256;

}  // namespace

bool looks_random(std::span<const std::byte> data) {
  constexpr std::size_t sample = pieces * piece_size;
  if (data.size() < 2 * sample) return false;
  std::array<std::uint32_t, 256> counts{};
  const std::size_t step = data.size() / pieces;
  for (std::size_t p = 0; p < pieces; ++p)
    for (const std::byte b : data.subspan(p * step, piece_size)) ++counts[std::to_integer<std::size_t>(b)];
  // Of n random bytes the squares of the counts sum to n + n(n-1)/256, give or take sqrt(2 n(n-1)/256).
  std::uint64_t squares = 0;
  for (const std::uint32_t count : counts) squares += std::uint64_t{count} * count;
  constexpr double mean = sample + sample * (sample - 1) / 256.0;
  constexpr double five_deviations = 5 * 181.0;
  return static_cast<double>(squares) < mean + five_deviations;
}

void Compression::sent(std::uint64_t bytes, Seconds now, Seconds blocked) {
  if (!m_began) {
    m_began = true;
    m_since = now;
    m_blocked_before = blocked;
  }
  m_bytes += bytes;
  if (m_bytes < window) return;
  const double took = std::max((now - m_since).count(), 1e-9);
  judge(static_cast<double>(m_bytes) / took, (blocked - m_blocked_before).count() / took);
  m_bytes = 0;
  m_since = now;
  m_blocked_before = blocked;
}

void Compression::judge(double rate, double waited) {
  ++m_windows;
  if (m_on) {
    m_rate = rate;
    if (m_windows < m_next_try || waited > held_up) return;
    m_on = false;
    m_windows = 0;
    return;
  }
  if (m_windows == 1) return;  // what is between here and the link filled up first
  const bool worth_it = rate > clearly_faster * m_rate;
  const bool stale = waited > held_up && m_windows >= longest_between_tries;
  if (worth_it && !stale) return;
  m_on = true;
  m_windows = 0;
  m_next_try = worth_it ? 1 : std::min(2 * m_next_try + 6, longest_between_tries);
}

}  // namespace umbra::stream
