// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "adapters/stream/arrivals.hpp"
#include "adapters/stream/block_codec.hpp"
#include "adapters/stream/messages.hpp"
#include "adapters/stream/stream.hpp"
#include "base/error.hpp"

namespace umbra::stream {
namespace {

class OneWaySink final : public ports::BlockSink {
 public:
  OneWaySink(int fd, const model::PointHeader& header) : m_out(fd), m_header(header) {
    widen_pipe(fd);
    m_out.preamble(StreamKind::one_point);
    m_out.frame(FrameType::begin, dump(to_json(header)));
    m_out.flush();
  }
  void save_bytes() override { m_encoder.save_bytes(); }
  void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data) override {
    m_encoder.data(m_out, part, block, digest, data);
  }
  void zero(std::size_t part, std::uint64_t first, std::uint64_t count) override {
    BlockEncoder::zero(m_out, part, first, count);
  }
  model::PointInfo commit(const base::Digest& changes) override {
    m_out.frame(FrameType::trailer, changes.bytes);
    m_out.flush();
    model::PointInfo info;
    info.number = m_header.number;
    info.taken_at = m_header.taken_at;
    info.parts = m_header.parts;
    return info;
  }
  model::ByteCount sent() const override { return m_out.written(); }

 private:
  FrameWriter m_out;
  BlockEncoder m_encoder;
  model::PointHeader m_header;
};

std::vector<model::Part> disks_of(const model::PointHeader& header) {
  std::vector<model::Part> disks;
  for (const model::Part& part : header.parts) {
    if (!part.is_memory()) disks.push_back(part);
  }
  return disks;
}

/// A sender that hears nothing from here leaves the number to the receiver.
void number_it(ports::PointStore& store, model::PointHeader& header) {
  if (header.number.value != 0) return;
  if (header.parent.value != 0)
    throw base::Error(base::Kind::corrupt, "the stream's point has a parent and no number of its own");
  const std::vector<model::PointInfo> points = store.points(header.shadow);
  header.number = points.empty() ? model::PointNumber{1} : points.back().number.next();
}

bool is_there(ports::PointStore& store, const model::ShadowId& shadow) {
  const std::vector<model::ShadowId> there = store.shadows();
  return std::find(there.begin(), there.end(), shadow) != there.end();
}

/// From the header on.
Received receive_blocks(FrameReader& in, ports::PointStore& store, const model::PointHeader& header) {
  const std::unique_ptr<ports::BlockSink> sink = store.begin(header);
  Arrivals arrivals;
  for (;;) {
    arrivals.before_next(in, *sink);
    const Frame frame = in.require();
    switch (frame.type) {
      case FrameType::block:
      case FrameType::zero:
        arrivals.take(frame, in, *sink);
        break;
      case FrameType::trailer:
        arrivals.flush(*sink);
        return {sink->commit(Cursor(frame.payload).digest()), header.shadow, header.vm};
      default:
        throw base::Error(base::Kind::corrupt, "a frame came that has no place in the stream of one point");
    }
  }
}

}  // namespace

std::unique_ptr<ports::BlockSink> send_one_way(int fd, const model::PointHeader& header) {
  return std::make_unique<OneWaySink>(fd, header);
}

Received receive_one_way(ports::PointStore& store, int fd, const base::CancelToken* cancel) {
  widen_pipe(fd);
  FrameReader in(fd, cancel);
  in.preamble(StreamKind::one_point);
  const Frame first = in.require();
  if (first.type != FrameType::begin)
    throw base::Error(base::Kind::corrupt, "the stream does not begin with a point's header");
  model::PointHeader header = header_from(parse_request(first.text()));
  header.resume = false;  // nobody hears what is there
  number_it(store, header);
  if (header.parent.value != 0 || is_there(store, header.shadow)) return receive_blocks(in, store, header);
  return base::or_undo(
      [&] {
        store.create(header.shadow, header.vm, disks_of(header));
        return receive_blocks(in, store, header);
      },
      [&] {
        if (is_there(store, header.shadow)) store.take_back(header.shadow);
      });
}

}  // namespace umbra::stream
