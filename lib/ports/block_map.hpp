// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the extents of a disk say of each of its blocks. Two bits a block, and none where a whole page of blocks is
// alike: 16 TiB take 64 MiB at the very most.

#include <cstdint>
#include <vector>

#include "ports/block_source.hpp"

namespace umbra::ports {

class BlockMap {
 public:
  enum class State : std::uint8_t { untouched, zero, data };

  explicit BlockMap(model::ByteCount size);
  /// Extents come in rising order. A block that one cuts through is data.
  void mark(const Extent& extent);

  std::uint64_t blocks() const { return m_blocks; }
  State at(std::uint64_t block) const;
  /// A block after this one, all up to which are as this one is.
  std::uint64_t alike_until(std::uint64_t block) const;
  std::uint64_t length_of(std::uint64_t block) const;
  /// Bytes of blocks that are not untouched.
  model::ByteCount looked_at() const;

 private:
  struct Page {
    State all = State::untouched;      ///< of every block, where `states` is empty
    std::vector<std::uint8_t> states;  ///< four to a byte
  };
  void set(std::uint64_t block, State state);
  std::uint64_t m_size;
  std::uint64_t m_blocks;
  std::vector<Page> m_pages;
};

}  // namespace umbra::ports
