// SPDX-License-Identifier: Apache-2.0
#include "ports/block_map.hpp"

#include <algorithm>

#include "model/points.hpp"

namespace umbra::ports {
namespace {

using model::block_size;

constexpr std::uint64_t page_blocks = 1u << 16;  // 4 GiB of the disk in 16 KiB
constexpr std::size_t page_bytes = page_blocks / 4;

std::byte four_alike(BlockMap::State state) {
  return static_cast<std::byte>(static_cast<unsigned>(state) * 0b01010101u);
}

BlockMap::State state_in(std::span<const std::byte> states, std::uint64_t n) {
  return static_cast<BlockMap::State>(std::to_integer<unsigned>(states[n / 4]) >> (n % 4 * 2) & 3u);
}

void put_state(std::span<std::byte> states, std::uint64_t n, BlockMap::State state) {
  const auto shift = static_cast<unsigned>(n % 4 * 2);
  const unsigned others = std::to_integer<unsigned>(states[n / 4]) & ~(3u << shift);
  states[n / 4] = static_cast<std::byte>(others | static_cast<unsigned>(state) << shift);
}

}  // namespace

BlockMap::BlockMap(model::ByteCount size, std::shared_ptr<base::PagePool> pool)
    : m_size(size.value),
      m_blocks(model::blocks_in(size)),
      m_all((m_blocks + page_blocks - 1) / page_blocks, State::untouched),
      m_states(m_all.size(), std::move(pool)) {}

std::uint64_t BlockMap::length_of(std::uint64_t block) const {
  return std::min(block_size, m_size - block * block_size);
}

void BlockMap::mark(const Extent& extent) {
  if (extent.length == 0 || extent.offset >= m_size) return;
  const std::uint64_t end = extent.length < m_size - extent.offset ? extent.offset + extent.length : m_size;
  std::uint64_t first = extent.offset / block_size;
  std::uint64_t last = model::blocks_in({end});  // the block behind
  if (!extent.zero) return fill(first, last, State::data);
  const bool cuts_first = first * block_size < extent.offset;
  const bool cuts_last = end < m_size && end % block_size != 0;
  if (cuts_first) fill(first, first + 1, State::data);
  if (cuts_last) fill(last - 1, last, State::data);
  first += cuts_first ? 1 : 0;
  last -= cuts_last ? 1 : 0;
  fill(first, last, State::zero);
}

void BlockMap::mark_block(std::uint64_t block, State state) {
  fill(block, block + 1, state);
}

void BlockMap::fill(std::uint64_t first, std::uint64_t end, State state) {
  while (first < end) {
    const std::uint64_t page = first / page_blocks;
    const std::uint64_t page_end = std::min((page + 1) * page_blocks, m_blocks);
    const std::uint64_t until = std::min(end, page_end);
    if (first % page_blocks == 0 && until == page_end) {
      if (m_states.has(page)) m_states.drop(page);
      m_all[page] = state;
    } else if (m_states.has(page) || m_all[page] != state) {
      const bool is_new = !m_states.has(page);
      m_states.write(page, page_bytes, [&](std::span<std::byte> states) {
        if (is_new) std::fill(states.begin(), states.end(), four_alike(m_all[page]));
        for (std::uint64_t block = first; block < until; ++block) put_state(states, block % page_blocks, state);
      });
    }
    first = until;
  }
}

BlockMap::State BlockMap::at(std::uint64_t block) const {
  const std::uint64_t page = block / page_blocks;
  if (!m_states.has(page)) return m_all[page];
  return m_states.read(page, [&](std::span<const std::byte> states) { return state_in(states, block % page_blocks); });
}

std::uint64_t BlockMap::alike_until(std::uint64_t block) const {
  const std::uint64_t page = block / page_blocks;
  const std::uint64_t page_end = std::min((page + 1) * page_blocks, m_blocks);
  if (!m_states.has(page)) return page_end;
  return m_states.read(page, [&](std::span<const std::byte> states) {
    const State state = state_in(states, block % page_blocks);
    std::uint64_t end = block + 1;
    while (end < page_end && state_in(states, end % page_blocks) == state) {
      const bool four = end % 4 == 0 && end + 4 <= page_end && states[end % page_blocks / 4] == four_alike(state);
      end += four ? 4 : 1;
    }
    return end;
  });
}

model::ByteCount BlockMap::looked_at() const {
  model::ByteCount sum;
  for (std::uint64_t block = 0; block < m_blocks;) {
    const std::uint64_t end = alike_until(block);
    if (at(block) != State::untouched) sum.value += std::min(end * block_size, m_size) - block * block_size;
    block = end;
  }
  return sum;
}

std::vector<Range> BlockMap::next_data(std::uint64_t& block, std::uint64_t longest, std::size_t most) const {
  std::vector<Range> ranges;
  while (block < m_blocks) {
    const std::uint64_t end = alike_until(block);
    if (at(block) != State::data) {
      block = end;
      continue;
    }
    while (block < end) {
      const std::uint64_t start = block * block_size;
      const bool joins =
          !ranges.empty() && ranges.back().offset + ranges.back().length == start && ranges.back().length < longest;
      if (!joins && ranges.size() == most) return ranges;
      if (!joins) ranges.push_back({start, 0});
      const std::uint64_t room = (longest - ranges.back().length) / block_size;
      const std::uint64_t until = std::min(end, block + std::max<std::uint64_t>(room, 1));
      ranges.back().length += std::min(until * block_size, m_size) - start;
      block = until;
    }
  }
  return ranges;
}

}  // namespace umbra::ports
