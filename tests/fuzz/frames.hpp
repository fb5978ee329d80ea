// SPDX-License-Identifier: Apache-2.0
#pragma once
// The short form of frames in the seeds: type (1 byte), length (2, little-endian), payload. They are given their
// preamble, sequence and checksums here, so that what lies behind those is reached.

#include <algorithm>

#include "adapters/stream/frame.hpp"
#include "fuzz.hpp"

namespace umbra::fuzz {

/// A frame that the format does not allow stays out: what reads frames is reached by raw bytes.
inline void write_stream(int fd, stream::StreamKind kind, std::string_view input) {
  stream::FrameWriter out(fd);
  out.preamble(kind);
  while (input.size() >= 3) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(input[at]); };
    const std::size_t length = std::min<std::size_t>(byte(1) | byte(2) << 8, input.size() - 3);
    may_refuse([&] { out.frame(static_cast<stream::FrameType>(byte(0)), input.substr(3, length)); });
    input.remove_prefix(3 + length);
  }
  out.flush();
}

}  // namespace umbra::fuzz
