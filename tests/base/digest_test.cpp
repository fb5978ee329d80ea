// SPDX-License-Identifier: Apache-2.0
#include "base/digest.hpp"

#include <rapidcheck.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "base/sha256_lanes.hpp"

using namespace umbra::base;

namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::mt19937_64& random, std::size_t length) {
  Bytes bytes(length);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

void require_each(const std::vector<Bytes>& messages) {
  const std::vector<std::span<const std::byte>> spans(messages.begin(), messages.end());
  std::vector<Digest> digests(spans.size());
  sha256_each(spans, digests);
  for (std::size_t i = 0; i < spans.size(); ++i) RC_ASSERT(digests[i] == sha256(spans[i]));
}

}  // namespace

TEST_CASE("SHA-256 is what the standard says") {
  const std::string_view text = "abc";
  CHECK(sha256(std::as_bytes(std::span(text))).to_string() ==
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("digests of many messages are those of each alone, however many and however long they are") {
  CHECK(rc::check([] {
    std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
    std::vector<Bytes> messages;
    const auto runs = *rc::gen::inRange(0, 4);
    for (int run = 0; run < runs; ++run) {
      const auto count = *rc::gen::inRange<std::size_t>(1, 40);
      const auto blocks = *rc::gen::inRange<std::size_t>(0, 40);
      const auto odd = *rc::gen::element<std::size_t>(0, 0, 0, 1, 63);
      for (std::size_t i = 0; i < count; ++i) messages.push_back(random_bytes(random, 64 * blocks + odd));
    }
    require_each(messages);
  }));
}

TEST_CASE("a full read of blocks is digested side by side") {
  if (!has_lanes()) WARN("this processor has no lanes: each message is digested alone");
  std::mt19937_64 random(7);
  std::vector<Bytes> messages;
  for (int i = 0; i < 16; ++i) messages.push_back(random_bytes(random, 65536));
  std::ranges::fill(messages[3], std::byte{0});
  std::ranges::fill(messages[15], std::byte{0xff});
  require_each(messages);
}
