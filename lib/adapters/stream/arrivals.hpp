// SPDX-License-Identifier: Apache-2.0
#pragma once
// What came of a point, between the stream and the sink: where blocks come fast they are held back until there are
// enough to be hashed side by side, which takes half the time. Nothing reaches the sink that differs from its digest.

#include <vector>

#include "adapters/stream/block_codec.hpp"

namespace umbra::stream {

class Arrivals {
 public:
  /// A BLOCK or ZERO frame that `in` just gave. Kind::corrupt where a block differs from the digest that came with it,
  /// and what the sink throws: perhaps for one that came before. After a failure nothing more may be told.
  void take(const Frame& frame, FrameReader& in, ports::BlockSink& sink);
  /// Before the next frame is waited for: where nothing comes within a moment, what is held back goes to the sink.
  void before_next(const FrameReader& in, ports::BlockSink& sink);
  /// What is held back goes to the sink.
  void flush(ports::BlockSink& sink);

 private:
  /// Keeps what a block's bytes lie in.
  struct Slot {
    Bytes payload;
    Bytes unpacked;
    Block block;
  };
  BlockDecoder m_decoder;
  std::vector<Slot> m_slots;
  std::size_t m_held = 0;
};

}  // namespace umbra::stream
