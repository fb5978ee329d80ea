// SPDX-License-Identifier: Apache-2.0
#pragma once
// The payloads BLOCK, ZERO and DIGESTS of FORMAT.md.

#include <memory>

#include "adapters/stream/compression.hpp"
#include "adapters/stream/frame.hpp"
#include "ports/point_store.hpp"

namespace umbra::stream {

/// Writes blocks, compressed where that saves something and the link is not faster without.
class BlockEncoder {
 public:
  BlockEncoder();
  ~BlockEncoder();
  /// Of two ways always the one with fewer bytes.
  void save_bytes() { m_compression.always(); }
  void data(FrameWriter& out, std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data);
  static void zero(FrameWriter& out, std::size_t part, std::uint64_t first, std::uint64_t count);

 private:
  /// What it was packed to; empty where it goes as it is.
  std::span<const std::byte> packed(std::span<const std::byte> data);
  struct Zstd;
  std::unique_ptr<Zstd> m_zstd;
  Bytes m_packed;
  Compression m_compression;
};

struct Block {
  std::size_t part = 0;
  std::uint64_t block = 0;
  base::Digest digest;
  std::span<const std::byte> data;  ///< lies in the payload, or in what it was decoded to
};

class BlockDecoder {
 public:
  BlockDecoder();
  ~BlockDecoder();
  /// Kind::corrupt where the payload breaks the format. The digest is not compared yet. What was packed is unpacked
  /// to `room`.
  Block decode(std::span<const std::byte> payload, Bytes& room);

 private:
  struct Zstd;
  std::unique_ptr<Zstd> m_zstd;
};

/// How many frames write_digests() writes.
std::uint64_t pages_of(const model::Manifest& manifest);
/// A manifest page by page, without those of zeroes alone; its parts, their sizes and the number of pages go ahead of
/// it in JSON.
void write_digests(FrameWriter& out, const model::Manifest& manifest);
/// `parts` and `pages` as announced. Kind::corrupt where parts are larger than a point may be.
model::Manifest read_digests(FrameReader& in, const std::vector<model::Part>& parts, std::uint64_t pages);

}  // namespace umbra::stream
