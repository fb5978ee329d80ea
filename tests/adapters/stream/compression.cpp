// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/compression.hpp"

#include <rapidcheck.h>

#include <random>

#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/crc32c.hpp"
#include "bytes.hpp"

using namespace umbra;
using stream::Compression;
using Seconds = Compression::Seconds;

namespace {

constexpr std::uint64_t block = 65536;

/// Sends `bytes` over a link of `link` bytes per second, with zstd at 300 MB/s to a third; the share sent plain.
double plain_share(Compression& choice, std::uint64_t bytes, double link) {
  double now = 0;
  double blocked = 0;
  double queued = 0;  // bytes that pipes and sockets hold
  std::uint64_t plain = 0;
  for (std::uint64_t sent = 0; sent < bytes; sent += block) {
    const double work = choice.on() ? block / 300e6 : block / 2e9;
    const double out = choice.on() ? block / 3.0 : block;
    if (!choice.on()) plain += block;
    now += work;
    queued = std::max(0.0, queued - work * link) + out;
    const double wait = std::max(0.0, queued - 4e6) / link;
    now += wait;
    blocked += wait;
    queued -= wait * link;
    choice.sent(block, Seconds(now), Seconds(blocked));
  }
  return static_cast<double>(plain) / static_cast<double>(bytes);
}

std::vector<std::byte> random_bytes(std::size_t size) {
  std::mt19937_64 random(7);
  std::vector<std::byte> data(size);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  return data;
}

}  // namespace

TEST_CASE("a slow link gets compressed blocks, a fast one plain ones") {
  for (const double link : {1e6, 12e6, 117e6, 200e6}) {
    Compression choice;
    INFO(link);
    CHECK(plain_share(choice, 2ull << 30, link) < 0.05);
  }
  for (const double link : {1e9, 3e9}) {
    Compression choice;
    INFO(link);
    CHECK(plain_share(choice, 2ull << 30, link) > 0.9);
  }
}

TEST_CASE("a link that becomes slow gets compressed blocks again") {
  Compression choice;
  CHECK(plain_share(choice, 1ull << 30, 3e9) > 0.9);
  CHECK(plain_share(choice, 4ull << 30, 50e6) < 0.4);
}

TEST_CASE("where bytes are counted they are saved, and little is always compressed") {
  Compression choice;
  choice.always();
  CHECK(plain_share(choice, 1ull << 30, 3e9) == 0.0);
  Compression small;
  CHECK(plain_share(small, 7u << 20, 3e9) == 0.0);
}

TEST_CASE("random bytes look random; text, sparse and repeated bytes do not") {
  CHECK(stream::looks_random(random_bytes(block)));
  CHECK(stream::looks_random(random_bytes(10000)));
  CHECK_FALSE(stream::looks_random(random_bytes(100)));  // too little to say
  CHECK_FALSE(stream::looks_random(std::vector<std::byte>(block)));
  std::vector<std::byte> letters = random_bytes(block);
  for (std::byte& b : letters) b = static_cast<std::byte>('0' + std::to_integer<int>(b) % 64);
  CHECK_FALSE(stream::looks_random(letters));
}

TEST_CASE("the processor's instruction and the tables give one checksum") {
  const auto data = random_bytes(5000);
  CHECK(rc::check([&] {
    const auto from = *rc::gen::inRange<std::size_t>(0, 4000);
    const auto length = *rc::gen::inRange<std::size_t>(0, 1000);
    const auto before = *rc::gen::arbitrary<std::uint32_t>();
    const auto piece = std::span(data).subspan(from, length);
    RC_ASSERT(stream::crc32c(piece, before) == stream::crc32c_by_tables(piece, before));
  }));
}
