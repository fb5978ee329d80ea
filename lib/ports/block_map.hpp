// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the extents of a disk say of each of its blocks. Two bits a block, and none where a whole page of blocks is
// alike; the pages lie in a pool, so that memory does not grow with the disk.

#include <cstdint>
#include <vector>

#include "base/page_table.hpp"
#include "ports/block_source.hpp"

namespace umbra::ports {

class BlockMap {
 public:
  enum class State : std::uint8_t { untouched, zero, data };

  BlockMap() : BlockMap(model::ByteCount{0}) {}
  explicit BlockMap(model::ByteCount size, std::shared_ptr<base::PagePool> pool = base::PagePool::common());
  /// A block that the extent cuts through is data.
  void mark(const Extent& extent);
  void mark_block(std::uint64_t block, State state);

  std::uint64_t blocks() const { return m_blocks; }
  State at(std::uint64_t block) const;
  /// A block after this one, all up to which are as this one is.
  std::uint64_t alike_until(std::uint64_t block) const;
  std::uint64_t length_of(std::uint64_t block) const;
  /// Bytes of blocks that are not untouched.
  model::ByteCount looked_at() const;
  /// The next ranges of data from `block` on, each of at most `longest` bytes, at most `most` of them; `block` ends
  /// behind the last. None: there is no more.
  std::vector<Range> next_data(std::uint64_t& block, std::uint64_t longest, std::size_t most) const;

 private:
  /// Blocks of one page, from `first` to before `end`.
  void fill(std::uint64_t first, std::uint64_t end, State state);
  std::uint64_t m_size;
  std::uint64_t m_blocks;
  std::vector<State> m_all;  ///< per page the state of its blocks, where it is absent below
  base::PageTable m_states;  ///< four blocks to a byte
};

}  // namespace umbra::ports
