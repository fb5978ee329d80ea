// SPDX-License-Identifier: Apache-2.0
#pragma once
// The numbers of FORMAT.md.

#include <array>
#include <cstddef>
#include <cstdint>

#include "model/points.hpp"

namespace umbra::stream {

inline constexpr std::array<unsigned char, 8> magic{0x55, 0x4d, 0x42, 0x52, 0x41, 0x1a, 0x0d, 0x0a};
inline constexpr std::uint16_t version = 2;
inline constexpr std::size_t preamble_size = 16;
inline constexpr std::size_t frame_header_size = 16;

enum class StreamKind : std::uint16_t { session = 1, one_point = 2 };

enum class FrameType : std::uint16_t {
  request = 1,
  reply = 2,
  error = 3,
  digests = 4,
  begin = 5,
  block = 6,
  zero = 7,
  trailer = 8,
  abort = 9,
  kept = 10,
};

inline constexpr std::size_t digest_size = 32;
inline constexpr std::size_t most_request = 4u << 20;  // one text in it may be long: the guest's activity
inline constexpr std::size_t most_json = 16u << 20;
inline constexpr std::size_t most_request_values = 4096;  // numbers, texts, lists and so on of a message
inline constexpr std::size_t most_reply_values = 1u << 19;
inline constexpr std::size_t block_prefix = 52;
inline constexpr std::size_t digests_prefix = 12;
inline constexpr std::size_t most_digests = base::DigestList::page_digests;

inline constexpr std::size_t kept_size = 56;
inline constexpr std::size_t most_kept = 16384;

enum class Encoding : std::uint8_t { plain = 0, zstd = 1 };

/// The smallest and largest payload of a type; an unknown type has none.
struct Bounds {
  std::size_t least;
  std::size_t most;
};
constexpr Bounds payload_bounds(FrameType type) {
  switch (type) {
    case FrameType::request:
    case FrameType::begin:
      return {2, most_request};
    case FrameType::reply:
    case FrameType::error:
      return {2, most_json};
    case FrameType::digests:
      return {digests_prefix + digest_size, digests_prefix + most_digests * digest_size};
    case FrameType::block:
      return {block_prefix + 1, block_prefix + model::block_size};
    case FrameType::zero:
      return {24, 24};
    case FrameType::trailer:
      return {digest_size, digest_size};
    case FrameType::abort:
      return {0, 0};
    case FrameType::kept:
      return {kept_size, most_kept * kept_size};
  }
  return {1, 0};  // nothing fits
}

}  // namespace umbra::stream
