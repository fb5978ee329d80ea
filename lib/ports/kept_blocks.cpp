// SPDX-License-Identifier: Apache-2.0
#include "ports/kept_blocks.hpp"

#include <algorithm>

namespace umbra::ports {

using State = BlockMap::State;

void KeptBlocks::note(std::uint64_t block, const base::Digest& digest) {
  m_known.mark_block(block, digest == base::Digest{} ? State::zero : State::data);
  m_digests.set(block, digest);
  m_end = std::max(m_end, block + 1);
}

void KeptBlocks::note_zeroes(std::uint64_t first, std::uint64_t count) {
  if (count == 0) return;
  m_known.mark({first * model::block_size, count * model::block_size, true, true});
  m_digests.clear(first, count);
  m_end = std::max(m_end, first + count);
}

model::BlockRun KeptBlocks::next(std::uint64_t block) const {
  while (block < m_end && m_known.at(block) == State::untouched) block = m_known.alike_until(block);
  if (block >= m_end) return {m_known.blocks(), 0, {}};
  if (m_known.at(block) == State::data) return {block, 1, m_digests[block]};
  std::uint64_t end = m_known.alike_until(block);
  while (end < m_end && m_known.at(end) == State::zero) end = m_known.alike_until(end);
  return {block, end - block, {}};
}

std::uint64_t KeptBlocks::runs() const {
  std::uint64_t runs = 0;
  for (model::BlockRun run = next(0); run.count > 0; run = next(run.block + run.count)) ++runs;
  return runs;
}

}  // namespace umbra::ports
