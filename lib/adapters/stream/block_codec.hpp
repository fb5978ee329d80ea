// SPDX-License-Identifier: Apache-2.0
#pragma once
// The payloads BLOCK, ZERO and DIGESTS of FORMAT.md.

#include <memory>

#include "adapters/stream/frame.hpp"
#include "ports/point_store.hpp"

namespace umbra::stream {

/// Writes blocks, compressed where that saves something.
class BlockEncoder {
 public:
  BlockEncoder();
  ~BlockEncoder();
  void data(FrameWriter& out, std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data);
  static void zero(FrameWriter& out, std::size_t part, std::uint64_t first, std::uint64_t count);

 private:
  struct Zstd;
  std::unique_ptr<Zstd> m_zstd;
  Bytes m_packed;
};

struct Block {
  std::size_t part = 0;
  std::uint64_t block = 0;
  base::Digest digest;
  std::span<const std::byte> data;  ///< good until the next one is decoded
};

class BlockDecoder {
 public:
  BlockDecoder();
  ~BlockDecoder();
  /// Kind::corrupt where the payload breaks the format. The digest is not compared here: the sink does that.
  Block decode(std::span<const std::byte> payload);
  /// Hands a BLOCK or ZERO frame to `sink`.
  void deliver(const Frame& frame, ports::BlockSink& sink);

 private:
  struct Zstd;
  std::unique_ptr<Zstd> m_zstd;
  Bytes m_data;
};

/// A manifest in pieces; its parts and sizes go ahead of it in JSON.
void write_digests(FrameWriter& out, const model::Manifest& manifest);
/// `parts` as announced. Memory grows with what came.
model::Manifest read_digests(FrameReader& in, const std::vector<model::Part>& parts);

}  // namespace umbra::stream
