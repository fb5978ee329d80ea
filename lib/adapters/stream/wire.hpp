// SPDX-License-Identifier: Apache-2.0
#pragma once
// Little-endian numbers into and out of a buffer, every read bounded.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace umbra::stream {

using Bytes = std::vector<std::byte>;

template <std::integral Number>
void put(Bytes& out, Number value) {
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    out.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
}
inline void put(Bytes& out, std::span<const std::byte> data) {
  out.insert(out.end(), data.begin(), data.end());
}
inline void put(Bytes& out, std::string_view text) {
  put(out, std::as_bytes(std::span(text.data(), text.size())));
}

/// Eats a payload from the front. Kind::corrupt where it is too short.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> data) : m_data(data) {}

  template <class Number>
  Number number() {
    const auto bytes = take(sizeof(Number));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    return static_cast<Number>(value);
  }
  base::Digest digest() {
    base::Digest digest;
    const auto bytes = take(digest.bytes.size());
    std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
    return digest;
  }
  /// A field that must be zero in this version.
  template <class Number>
  void reserved() {
    if (number<Number>() != 0) throw base::Error(base::Kind::corrupt, "a reserved field of the stream is not zero");
  }
  std::span<const std::byte> rest() { return take(m_data.size()); }
  std::span<const std::byte> take(std::size_t size) {
    if (size > m_data.size())
      throw base::Error(base::Kind::corrupt, "a frame of the stream is shorter than its fields");
    const auto taken = m_data.first(size);
    m_data = m_data.subspan(size);
    return taken;
  }

 private:
  std::span<const std::byte> m_data;
};

}  // namespace umbra::stream
