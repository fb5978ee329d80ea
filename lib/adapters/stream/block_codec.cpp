// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/block_codec.hpp"

#include <fmt/core.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>

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

BlockDecoder::BlockDecoder() : m_zstd(std::make_unique<Zstd>()) {
  if (m_zstd->context == nullptr) throw Error(Kind::internal, "zstd could not be prepared");
}
BlockDecoder::~BlockDecoder() = default;

Block BlockDecoder::decode(std::span<const std::byte> payload, Bytes& room) {
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
  room.resize(model::block_size);
  const std::size_t unpacked = ZSTD_decompressDCtx(m_zstd->context, room.data(), length, packed.data(), packed.size());
  if (ZSTD_isError(unpacked) != 0 || unpacked != length) corrupt("a block of the stream can't be decompressed");
  block.data = std::span<const std::byte>(room).first(length);
  return block;
}

std::uint64_t pages_of(const model::Manifest& manifest) {
  std::uint64_t pages = 0;
  for (const model::PartManifest& part : manifest.parts) pages += part.blocks.pages_held();
  return pages;
}

void write_digests(FrameWriter& out, const model::Manifest& manifest) {
  std::vector<base::Digest> digests;
  for (std::size_t part = 0; part < manifest.parts.size(); ++part) {
    const base::DigestList& blocks = manifest.parts[part].blocks;
    for (std::uint64_t page = blocks.next_page(0); page < blocks.pages(); page = blocks.next_page(page + 1)) {
      Bytes head;
      put(head, static_cast<std::uint32_t>(part));
      put(head, page);
      blocks.read_page(page, digests);
      out.frame(FrameType::digests, head, std::as_bytes(std::span(digests)));
    }
  }
}

namespace {

/// Lists without a page yet; what a part announces bounds nothing but this sum.
model::Manifest empty_manifest(const std::vector<model::Part>& parts) {
  model::Manifest manifest;
  std::uint64_t left = model::most_size;
  for (const model::Part& part : parts) {
    if (part.size.value > left) corrupt("the stream announces digests of more than a point can hold");
    left -= part.size.value;
    manifest.parts.push_back({part, base::DigestList(model::blocks_in(part.size))});
  }
  return manifest;
}

}  // namespace

model::Manifest read_digests(FrameReader& in, const std::vector<model::Part>& parts, std::uint64_t pages) {
  model::Manifest manifest = empty_manifest(parts);
  std::size_t part = 0;
  std::uint64_t next = 0;  // the first page of the part that may come
  std::vector<base::Digest> digests;
  for (; pages > 0; --pages) {
    const Frame frame = in.require();
    if (frame.type != FrameType::digests) corrupt("digests are missing in the stream");
    Cursor cursor(frame.payload);
    const std::size_t of = cursor.number<std::uint32_t>();
    const auto page = cursor.number<std::uint64_t>();
    if (of > part) next = 0;
    if (of < part || of >= parts.size() || page < next || page >= manifest.parts[of].blocks.pages())
      corrupt("digests came out of turn in the stream");
    base::DigestList& blocks = manifest.parts[of].blocks;
    const auto body = cursor.rest();
    digests.resize(blocks.digests_in(page));
    if (body.size() != digests.size() * digest_size || base::all_zero(body))
      corrupt("a page of digests in the stream is not what it should be");
    std::memcpy(digests.data(), body.data(), body.size());
    blocks.write_page(page, digests);
    part = of;
    next = page + 1;
  }
  return manifest;
}

}  // namespace umbra::stream
