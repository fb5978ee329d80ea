// SPDX-License-Identifier: Apache-2.0
// The bytes of FORMAT.md, frame by frame.

#include "adapters/stream/frame.hpp"

#include <rapidcheck.h>
#include <zstd.h>

#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/crc32c.hpp"
#include "bytes.hpp"

using namespace umbra;
using namespace umbra::stream;

namespace {

Bytes bytes_of(const std::vector<std::uint8_t>& values) {
  Bytes bytes;
  for (const std::uint8_t v : values) bytes.push_back(static_cast<std::byte>(v));
  return bytes;
}

/// A frame header whose checksum is right for an empty payload.
Bytes header(std::uint16_t type, std::uint32_t length) {
  Bytes bytes;
  put(bytes, type);
  put(bytes, std::uint16_t{0});
  put(bytes, length);
  put(bytes, std::uint32_t{0});
  put(bytes, crc32c(bytes));
  return bytes;
}

/// A BLOCK payload with given data and told length.
Bytes block_payload(Encoding encoding, std::uint32_t length, std::span<const std::byte> data) {
  Bytes payload;
  put(payload, std::uint32_t{0});
  put(payload, static_cast<std::uint32_t>(encoding));
  put(payload, length);
  put(payload, std::uint64_t{0});
  put(payload, base::Digest{}.bytes);
  put(payload, data);
  return payload;
}

}  // namespace

TEST_CASE("the checksum is CRC-32C") {
  const auto of = [](std::string_view text) { return crc32c(std::as_bytes(std::span(text.data(), text.size()))); };
  CHECK(of("123456789") == 0xe3069283);
  CHECK(of(std::string(32, '\0')) == 0x8a9136aa);  // RFC 3720, B.4
  CHECK(of(std::string(32, '\xff')) == 0x62a8ab43);
}

TEST_CASE("frames come back as they were written, whatever is in them") {
  CHECK(rc::check([](const std::vector<std::vector<std::uint8_t>>& payloads) {
    const test::MemoryFile file;
    FrameWriter out(file.fd());
    out.preamble(StreamKind::session);
    for (const auto& payload : payloads) {
      Bytes bytes = bytes_of(payload);
      bytes.resize(std::max<std::size_t>(bytes.size(), 2));
      out.frame(FrameType::request, bytes);
    }
    out.flush();
    RC_ASSERT(out.written().value == file.content().size());
    FrameReader in(file.fd());
    in.preamble(StreamKind::session);
    for (const auto& payload : payloads) {
      const auto frame = in.next();
      RC_ASSERT(frame.has_value());
      Bytes expected = bytes_of(payload);
      expected.resize(std::max<std::size_t>(expected.size(), 2));
      RC_ASSERT(std::equal(expected.begin(), expected.end(), frame->payload.begin(), frame->payload.end()));
    }
    RC_ASSERT(!in.next().has_value());
  }));
}

TEST_CASE("blocks come back as they were encoded, compressible or not") {
  CHECK(rc::check([](std::vector<std::uint8_t> data, std::uint64_t number, bool repeated) {
    data.push_back(1);
    if (repeated) {
      while (data.size() < 4000) data.insert(data.end(), data.begin(), data.end());
    }
    const Bytes bytes = bytes_of(data);
    const test::MemoryFile file;
    FrameWriter out(file.fd());
    BlockEncoder encoder;
    encoder.data(out, 3, number, base::sha256(bytes), bytes);
    out.flush();
    if (repeated) RC_ASSERT(file.content().size() < bytes.size());
    file.rewind();
    FrameReader in(file.fd());
    BlockDecoder decoder;
    Bytes room;
    const Block block = decoder.decode(in.require().payload, room);
    RC_ASSERT(block.part == 3u);
    RC_ASSERT(block.block == number);
    RC_ASSERT(base::sha256(block.data) == block.digest);
    RC_ASSERT(block.data.size() == bytes.size());
  }));
}

TEST_CASE(
    "a frame that announces too much, too little, or an unknown type is refused before its payload is waited for") {
  for (std::uint16_t type = 0; type < 12; ++type) {
    const Bounds bounds = payload_bounds(static_cast<FrameType>(type));
    for (const std::size_t length :
         {std::size_t{0xffffffff}, bounds.most + 1, bounds.least == 0 ? 1 : bounds.least - 1}) {
      const test::Pipe pipe;  // stays open: a reader that waited would never come back
      base::write_all(pipe.in.get(), std::span<const std::byte>(header(type, static_cast<std::uint32_t>(length))),
                      "a pipe");
      FrameReader in(pipe.out.get());
      const auto error = test::error_of([&] { in.next(); });
      CHECK(error.kind() == base::Kind::corrupt);
      CHECK_THAT(error.what(), Catch::Contains("announces"));
    }
  }
}

TEST_CASE("frames that were repeated, left out or exchanged are found") {
  const test::MemoryFile file;
  FrameWriter out(file.fd());
  for (const char* text : {"{1}", "{2}", "{3}"}) out.frame(FrameType::request, text);
  out.flush();
  const Bytes all = file.content();
  const std::size_t one = all.size() / 3;
  const auto piece = [&](std::size_t i) { return std::span<const std::byte>(all).subspan(i * one, one); };
  for (const std::vector<std::size_t>& order : {std::vector<std::size_t>{0, 0}, {0, 2}, {1}, {0, 2, 1}}) {
    Bytes mixed;
    for (const std::size_t i : order) put(mixed, piece(i));
    const test::MemoryFile input(mixed);
    FrameReader in(input.fd());
    CHECK(test::error_of([&] {
            while (in.next()) {
            }
          }).kind() == base::Kind::corrupt);
  }
}

TEST_CASE("a block that decodes to more or less than it tells is damage") {
  BlockDecoder decoder;
  Bytes room;
  const auto data = test::filled(7, model::block_size);
  Bytes packed(ZSTD_compressBound(4 * data.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), data.data(), data.size(), 1));
  CHECK(decoder.decode(block_payload(Encoding::zstd, model::block_size, packed), room).data.size() ==
        model::block_size);
  const auto refused = [&](const Bytes& payload) {
    return test::error_of([&] { decoder.decode(payload, room); }).kind() == base::Kind::corrupt;
  };
  CHECK(refused(block_payload(Encoding::zstd, model::block_size - 1, packed)));
  CHECK(refused(block_payload(Encoding::zstd, model::block_size + 1, packed)));
  CHECK(refused(block_payload(Encoding::zstd, 0, packed)));
  CHECK(refused(block_payload(Encoding::zstd, 0xffffffff, packed)));
  CHECK(refused(block_payload(Encoding::zstd, 5, test::filled(7, 5))));
  CHECK(refused(block_payload(Encoding::plain, 6, test::filled(7, 5))));
  CHECK(refused(block_payload(static_cast<Encoding>(2), 5, test::filled(7, 5))));
  const auto few = test::filled(7, 100);
  Bytes short_of(ZSTD_compressBound(few.size()));
  short_of.resize(ZSTD_compress(short_of.data(), short_of.size(), few.data(), few.size(), 1));
  CHECK(refused(block_payload(Encoding::zstd, 101, short_of)));
  const auto huge = test::filled(7, 64 * model::block_size);  // a bomb: little that decodes to much
  Bytes bomb(ZSTD_compressBound(huge.size()));
  bomb.resize(ZSTD_compress(bomb.data(), bomb.size(), huge.data(), huge.size(), 1));
  CHECK(refused(block_payload(Encoding::zstd, model::block_size, bomb)));
}

TEST_CASE("another version, another kind and another program's output are told apart") {
  const test::MemoryFile file;
  FrameWriter out(file.fd());
  out.preamble(StreamKind::session);
  out.flush();
  Bytes bytes = file.content();
  const auto with_version = [&](std::uint16_t v) {
    Bytes changed(bytes.begin(), bytes.begin() + 8);
    put(changed, v);
    put(changed, std::uint16_t{1});
    put(changed, crc32c(changed));
    return changed;
  };
  const auto error_of = [](std::span<const std::byte> input, StreamKind kind) {
    const test::MemoryFile from(input);
    FrameReader in(from.fd());
    return test::error_of([&] { in.preamble(kind); });
  };
  CHECK(with_version(version) == bytes);
  const auto newer = error_of(with_version(version + 1), StreamKind::session);
  CHECK(newer.kind() == base::Kind::unsupported);
  CHECK_THAT(newer.what(), Catch::Contains("version 3") && Catch::Contains("version 2"));
  CHECK(error_of(bytes, StreamKind::one_point).kind() == base::Kind::invalid);
  const std::string motd = "Welcome to beta!\n";
  CHECK_THAT(error_of(std::as_bytes(std::span(motd)), StreamKind::session).what(), Catch::Contains("Welcome to beta"));
  CHECK_THAT(error_of({}, StreamKind::session).what(), Catch::Contains("before it began"));
}
