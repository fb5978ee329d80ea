// SPDX-License-Identifier: Apache-2.0
#pragma once
// Disks held in memory: a sparse image of blocks, and a BlockSource over a copy of one.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "model/points.hpp"
#include "ports/block_source.hpp"

namespace umbra::fakes {

/// Block number -> its bytes (block_size of them, fewer at the end). Absent: zero.
class MemoryImage {
 public:
  explicit MemoryImage(model::ByteCount size = {}) : m_size(size) {}
  model::ByteCount size() const { return m_size; }
  void resize(model::ByteCount size);
  void write(std::uint64_t offset, std::span<const std::byte> data);
  /// `count` bytes of `value` at `offset`.
  void fill(std::uint64_t offset, std::uint64_t count, unsigned char value);
  void set_block(std::uint64_t block, std::span<const std::byte> data);
  void zero_blocks(std::uint64_t first, std::uint64_t count);
  std::vector<std::byte> read(std::uint64_t offset, std::uint64_t count) const;
  bool has(std::uint64_t block) const { return m_blocks.contains(block); }
  /// Of each block; an all-zero block has the all-zero digest.
  model::PartManifest manifest(const model::DiskName& name) const;
  /// How often it was written to.
  std::int64_t changes() const { return m_changes; }
  /// The same contents: blocks of zeroes and absent ones are alike.
  bool operator==(const MemoryImage& other) const;

 private:
  std::uint64_t length_of(std::uint64_t block) const;
  model::ByteCount m_size;
  std::map<std::uint64_t, std::vector<std::byte>> m_blocks;
  std::int64_t m_changes = 0;
};

/// Reads a copy of an image; `changed` blocks, where given, are what tracks_changes() tells.
class MemorySource : public ports::BlockSource {
 public:
  explicit MemorySource(MemoryImage image);
  MemorySource(MemoryImage image, std::set<std::uint64_t> changed);
  model::ByteCount size() const override { return m_image.size(); }
  bool tracks_changes() const override { return m_tracks; }
  void each_extent(const std::function<void(const ports::Extent&)>& each) override;
  void read(std::span<const ports::Range> ranges,
            const std::function<void(const ports::Range&, std::span<const std::byte>)>& each) override;
  std::uint64_t bytes_read() const { return m_bytes_read; }

 private:
  MemoryImage m_image;
  bool m_tracks = false;
  std::set<std::uint64_t> m_changed;
  std::uint64_t m_bytes_read = 0;
};

}  // namespace umbra::fakes
