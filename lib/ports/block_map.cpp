// SPDX-License-Identifier: Apache-2.0
#include "ports/block_map.hpp"

#include <algorithm>

#include "model/points.hpp"

namespace umbra::ports {
namespace {

using model::block_size;

constexpr std::uint64_t page_blocks = 1u << 16;  // 4 GiB of the disk in 16 KiB

}  // namespace

BlockMap::BlockMap(model::ByteCount size)
    : m_size(size.value), m_blocks(model::blocks_in(size)), m_pages((m_blocks + page_blocks - 1) / page_blocks) {}

std::uint64_t BlockMap::length_of(std::uint64_t block) const {
  return std::min(block_size, m_size - block * block_size);
}

void BlockMap::mark(const Extent& extent) {
  if (extent.length == 0 || extent.offset >= m_size) return;
  const std::uint64_t end = extent.length < m_size - extent.offset ? extent.offset + extent.length : m_size;
  for (std::uint64_t block = extent.offset / block_size; block * block_size < end;) {
    const std::uint64_t start = block * block_size;
    const bool whole = extent.offset <= start && start + length_of(block) <= end;
    const State state = whole && extent.zero ? State::zero : State::data;
    const std::uint64_t next_page = std::min((block / page_blocks + 1) * page_blocks, m_blocks);
    if (whole && block % page_blocks == 0 && std::min(next_page * block_size, m_size) <= end) {
      m_pages[block / page_blocks] = {state, {}};
      block = next_page;
      continue;
    }
    set(block++, state);
  }
}

void BlockMap::set(std::uint64_t block, State state) {
  Page& page = m_pages[block / page_blocks];
  if (page.states.empty()) {
    if (page.all == state) return;
    constexpr unsigned four_alike = 0b01010101;
    page.states.assign(page_blocks / 4, static_cast<std::uint8_t>(static_cast<unsigned>(page.all) * four_alike));
  }
  const std::uint64_t in_page = block % page_blocks;
  const auto shift = static_cast<unsigned>(in_page % 4 * 2);
  const unsigned others = page.states[in_page / 4] & ~(3u << shift);
  page.states[in_page / 4] = static_cast<std::uint8_t>(others | static_cast<unsigned>(state) << shift);
}

BlockMap::State BlockMap::at(std::uint64_t block) const {
  const Page& page = m_pages[block / page_blocks];
  if (page.states.empty()) return page.all;
  const std::uint64_t in_page = block % page_blocks;
  return static_cast<State>(page.states[in_page / 4] >> (in_page % 4 * 2) & 3u);
}

std::uint64_t BlockMap::alike_until(std::uint64_t block) const {
  if (!m_pages[block / page_blocks].states.empty()) return block + 1;
  return std::min((block / page_blocks + 1) * page_blocks, m_blocks);
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

}  // namespace umbra::ports
