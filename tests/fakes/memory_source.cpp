// SPDX-License-Identifier: Apache-2.0
#include "fakes/memory_source.hpp"

#include <algorithm>
#include <stdexcept>

namespace umbra::fakes {

using model::block_size;

std::uint64_t MemoryImage::length_of(std::uint64_t block) const {
  return std::min(block_size, m_size.value - block * block_size);
}

void MemoryImage::resize(model::ByteCount size) {
  ++m_changes;
  m_size = size;
  std::erase_if(m_blocks, [&](const auto& entry) { return entry.first >= model::blocks_in(size); });
  for (auto& [block, bytes] : m_blocks) bytes.resize(length_of(block));
}

void MemoryImage::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (offset + data.size() > m_size.value) throw std::out_of_range("a write past the end of the image");
  ++m_changes;
  while (!data.empty()) {
    const std::uint64_t block = offset / block_size;
    const std::uint64_t within = offset % block_size;
    const std::size_t length = std::min<std::size_t>(data.size(), length_of(block) - within);
    auto& bytes = m_blocks[block];
    bytes.resize(length_of(block));
    std::ranges::copy(data.first(length), bytes.begin() + static_cast<std::ptrdiff_t>(within));
    data = data.subspan(length);
    offset += length;
  }
}

void MemoryImage::fill(std::uint64_t offset, std::uint64_t count, unsigned char value) {
  write(offset, std::vector<std::byte>(count, std::byte{value}));
}

void MemoryImage::set_block(std::uint64_t block, std::span<const std::byte> data) {
  if (data.size() != length_of(block)) throw std::invalid_argument("a block of the wrong length");
  ++m_changes;
  m_blocks[block].assign(data.begin(), data.end());
}

void MemoryImage::zero_blocks(std::uint64_t first, std::uint64_t count) {
  if (first + count > model::blocks_in(m_size)) throw std::out_of_range("zeroes past the end of the image");
  ++m_changes;
  m_blocks.erase(m_blocks.lower_bound(first), m_blocks.lower_bound(first + count));
}

std::vector<std::byte> MemoryImage::read(std::uint64_t offset, std::uint64_t count) const {
  if (offset + count > m_size.value) throw std::out_of_range("a read past the end of the image");
  std::vector<std::byte> data(count);
  for (std::uint64_t at = 0; at < count;) {
    const std::uint64_t block = (offset + at) / block_size;
    const std::uint64_t within = (offset + at) % block_size;
    const std::uint64_t length = std::min(count - at, length_of(block) - within);
    if (const auto it = m_blocks.find(block); it != m_blocks.end())
      std::copy_n(it->second.begin() + static_cast<std::ptrdiff_t>(within), length,
                  data.begin() + static_cast<std::ptrdiff_t>(at));
    at += length;
  }
  return data;
}

model::PartManifest MemoryImage::manifest(const model::DiskName& name) const {
  model::PartManifest manifest{{name, m_size}, base::DigestList(model::blocks_in(m_size))};
  for (const auto& [block, bytes] : m_blocks) {
    if (!base::all_zero(bytes)) manifest.blocks.set(block, base::sha256(bytes));
  }
  return manifest;
}

bool MemoryImage::operator==(const MemoryImage& other) const {
  if (m_size != other.m_size) return false;
  for (std::uint64_t block = 0; block < model::blocks_in(m_size); ++block) {
    if (!has(block) && !other.has(block)) continue;
    const std::uint64_t length = length_of(block);
    if (read(block * block_size, length) != other.read(block * block_size, length)) return false;
  }
  return true;
}

MemorySource::MemorySource(MemoryImage image) : m_image(std::move(image)) {}

MemorySource::MemorySource(MemoryImage image, std::set<std::uint64_t> changed)
    : m_image(std::move(image)), m_tracks(true), m_changed(std::move(changed)) {}

void MemorySource::each_extent(const std::function<void(const ports::Extent&)>& each) {
  const auto state = [&](std::uint64_t block) {
    return std::pair(!m_image.has(block), !m_tracks || m_changed.contains(block));
  };
  const std::uint64_t blocks = model::blocks_in(m_image.size());
  for (std::uint64_t first = 0; first < blocks;) {
    std::uint64_t end = first + 1;
    while (end < blocks && state(end) == state(first)) ++end;
    const auto [zero, changed] = state(first);
    const std::uint64_t offset = first * block_size;
    each({offset, std::min(end * block_size, m_image.size().value) - offset, zero, changed});
    first = end;
  }
}

void MemorySource::read(std::span<const ports::Range> ranges,
                        const std::function<void(const ports::Range&, std::span<const std::byte>)>& each) {
  std::uint64_t least = 0;
  for (const ports::Range& range : ranges) {
    if (range.offset < least || range.length > (4u << 20)) throw std::invalid_argument("ranges against the contract");
    least = range.offset + range.length;
    const std::vector<std::byte> data = m_image.read(range.offset, range.length);
    m_bytes_read += range.length;
    each(range, data);
  }
}

}  // namespace umbra::fakes
