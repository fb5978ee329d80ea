// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/block_codec.hpp"

#include <fmt/core.h>
#include <zstd.h>

#include <algorithm>

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

constexpr int zstd_level = 1;
constexpr std::size_t worth_while = 16;  // a sixteenth saved

[[noreturn]] void corrupt(const char* what) {
  throw Error(Kind::corrupt, what, "run the pass again");
}

}  // namespace

struct BlockEncoder::Zstd {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ~Zstd() { ZSTD_freeCCtx(context); }
};

BlockEncoder::BlockEncoder() : m_zstd(std::make_unique<Zstd>()), m_packed(model::block_size) {
  if (m_zstd->context == nullptr) throw Error(Kind::internal, "zstd could not be prepared");
}
BlockEncoder::~BlockEncoder() = default;

void BlockEncoder::data(FrameWriter& out, std::size_t part, std::uint64_t block, const base::Digest& digest,
                        std::span<const std::byte> data) {
  const std::span<const std::byte> small = packed(data);
  Bytes head;
  head.reserve(block_prefix);
  put(head, static_cast<std::uint32_t>(part));
  put(head,
      static_cast<std::uint32_t>(small.empty() ? Encoding::plain : Encoding::zstd));  // one byte, then three of zero
  put(head, static_cast<std::uint32_t>(data.size()));
  put(head, block);
  put(head, digest.bytes);
  out.frame(FrameType::block, head, small.empty() ? data : small);
  m_compression.sent(data.size(), std::chrono::steady_clock::now().time_since_epoch(), out.blocked());
}

std::span<const std::byte> BlockEncoder::packed(std::span<const std::byte> data) {
  if (!m_compression.on() || looks_random(data)) return {};
  // With no room for more than a good result, zstd gives up by itself on data that don't compress.
  const std::size_t room = data.size() - data.size() / worth_while;
  const std::size_t size = ZSTD_compressCCtx(m_zstd->context, m_packed.data(), std::min(room, m_packed.size()),
                                             data.data(), data.size(), zstd_level);
  if (ZSTD_isError(size) != 0) return {};
  return std::span<const std::byte>(m_packed).first(size);
}

void BlockEncoder::zero(FrameWriter& out, std::size_t part, std::uint64_t first, std::uint64_t count) {
  Bytes payload;
  put(payload, static_cast<std::uint32_t>(part));
  put(payload, std::uint32_t{0});
  put(payload, first);
  put(payload, count);
  out.frame(FrameType::zero, payload);
}

struct BlockDecoder::Zstd {
  ZSTD_DCtx* context = ZSTD_createDCtx();
  ~Zstd() { ZSTD_freeDCtx(context); }
};

BlockDecoder::BlockDecoder() : m_zstd(std::make_unique<Zstd>()), m_data(model::block_size) {
  if (m_zstd->context == nullptr) throw Error(Kind::internal, "zstd could not be prepared");
}
BlockDecoder::~BlockDecoder() = default;

Block BlockDecoder::decode(std::span<const std::byte> payload) {
  Cursor cursor(payload);
  Block block;
  block.part = cursor.number<std::uint32_t>();
  const auto encoding = cursor.number<std::uint8_t>();
  cursor.reserved<std::uint8_t>();
  cursor.reserved<std::uint16_t>();
  const std::size_t length = cursor.number<std::uint32_t>();
  block.block = cursor.number<std::uint64_t>();
  block.digest = cursor.digest();
  const auto packed = cursor.rest();
  if (length == 0 || length > model::block_size) corrupt("a block of the stream has an impossible length");
  if (encoding == static_cast<std::uint8_t>(Encoding::plain)) {
    if (packed.size() != length) corrupt("a plain block of the stream has another length than it tells");
    block.data = packed;
    return block;
  }
  if (encoding != static_cast<std::uint8_t>(Encoding::zstd)) corrupt("a block of the stream has an unknown encoding");
  const std::size_t unpacked =
      ZSTD_decompressDCtx(m_zstd->context, m_data.data(), length, packed.data(), packed.size());
  if (ZSTD_isError(unpacked) != 0 || unpacked != length) corrupt("a block of the stream can't be decompressed");
  block.data = std::span<const std::byte>(m_data).first(length);
  return block;
}

void BlockDecoder::deliver(const Frame& frame, ports::BlockSink& sink) {
  if (frame.type == FrameType::block) {
    const Block block = decode(frame.payload);
    if (base::sha256(block.data) != block.digest)
      throw Error(Kind::corrupt,
                  fmt::format("block {} of part {} that came differs from its digest", block.block, block.part),
                  "run the pass again");
    sink.data(block.part, block.block, block.digest, block.data);
    return;
  }
  Cursor cursor(frame.payload);
  const auto part = cursor.number<std::uint32_t>();
  cursor.reserved<std::uint32_t>();
  const auto first = cursor.number<std::uint64_t>();
  sink.zero(part, first, cursor.number<std::uint64_t>());
}

void write_digests(FrameWriter& out, const model::Manifest& manifest) {
  for (std::size_t part = 0; part < manifest.parts.size(); ++part) {
    const std::span<const base::Digest> blocks = manifest.parts[part].blocks;
    for (std::size_t first = 0; first < blocks.size(); first += most_digests) {
      Bytes head;
      put(head, static_cast<std::uint32_t>(part));
      put(head, static_cast<std::uint64_t>(first));
      out.frame(FrameType::digests, head,
                std::as_bytes(blocks.subspan(first, std::min(most_digests, blocks.size() - first))));
    }
  }
}

model::Manifest read_digests(FrameReader& in, const std::vector<model::Part>& parts) {
  model::Manifest manifest;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    model::PartManifest piece{parts[part], {}};
    const std::uint64_t due = model::blocks_in(parts[part].size);
    while (piece.blocks.size() < due) {
      const Frame frame = in.require();
      if (frame.type != FrameType::digests) corrupt("digests are missing in the stream");
      Cursor cursor(frame.payload);
      const bool in_turn =
          cursor.number<std::uint32_t>() == part && cursor.number<std::uint64_t>() == piece.blocks.size();
      const auto digests = cursor.rest();
      if (!in_turn || digests.size() % digest_size != 0 || digests.size() / digest_size > due - piece.blocks.size())
        corrupt("digests came out of turn in the stream");
      Cursor each(digests);
      for (std::size_t i = 0; i < digests.size() / digest_size; ++i) piece.blocks.push_back(each.digest());
    }
    manifest.parts.push_back(std::move(piece));
  }
  return manifest;
}

}  // namespace umbra::stream
