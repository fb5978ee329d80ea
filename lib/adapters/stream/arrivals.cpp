// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/arrivals.hpp"

#include <fmt/core.h>

#include <array>

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

constexpr std::size_t most_held = 16;
/// Over a slower link what is held back would be much of what a process that is killed loses.
constexpr base::Millis moment{10};

}  // namespace

void Arrivals::take(const Frame& frame, FrameReader& in, ports::BlockSink& sink) {
  if (frame.type == FrameType::zero) {
    flush(sink);
    Cursor cursor(frame.payload);
    const auto part = cursor.number<std::uint32_t>();
    cursor.reserved<std::uint32_t>();
    const auto first = cursor.number<std::uint64_t>();
    return sink.zero(part, first, cursor.number<std::uint64_t>());
  }
  if (m_held == m_slots.size()) m_slots.emplace_back();
  Slot& slot = m_slots[m_held];
  in.swap_payload(slot.payload);  // the frame's bytes stay where they are
  slot.block = m_decoder.decode(frame.payload, slot.unpacked);
  ++m_held;
  if (m_held == most_held) flush(sink);
}

void Arrivals::before_next(const FrameReader& in, ports::BlockSink& sink) {
  if (m_held > 0 && !in.ready_within(moment)) flush(sink);
}

void Arrivals::flush(ports::BlockSink& sink) {
  std::array<std::span<const std::byte>, most_held> bytes;
  std::array<base::Digest, most_held> digests;
  const std::size_t count = m_held;
  m_held = 0;
  for (std::size_t i = 0; i < count; ++i) bytes[i] = m_slots[i].block.data;
  base::sha256_each(std::span(bytes).first(count), std::span(digests).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    const Block& block = m_slots[i].block;
    if (digests[i] != block.digest)
      throw Error(Kind::corrupt,
                  fmt::format("block {} of part {} that came differs from its digest", block.block, block.part),
                  "run the pass again");
    sink.data(block.part, block.block, block.digest, block.data);
  }
}

}  // namespace umbra::stream
