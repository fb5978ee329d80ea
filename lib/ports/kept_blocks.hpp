// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is known of some of a part's blocks: which, and the digest of each. Memory does not grow with the part.

#include "model/points.hpp"
#include "ports/block_map.hpp"

namespace umbra::ports {

class KeptBlocks {
 public:
  KeptBlocks() = default;
  explicit KeptBlocks(model::ByteCount size) : m_known(size), m_digests(m_known.blocks()) {}

  void note(std::uint64_t block, const base::Digest& digest);
  void note_zeroes(std::uint64_t first, std::uint64_t count);
  bool empty() const { return m_end == 0; }
  /// The first known blocks from `block` on: one, or as many as are neighbours of zeroes; a count of 0 where none is.
  model::BlockRun next(std::uint64_t block) const;
  /// How many runs next() tells, from the beginning on.
  std::uint64_t runs() const;

 private:
  BlockMap m_known;
  base::DigestList m_digests;
  std::uint64_t m_end = 0;  ///< no block from here on is known
};

}  // namespace umbra::ports
