// SPDX-License-Identifier: Apache-2.0
// What came of a point is the sink's in the order in which it came, and only where it is what was sent.
#include "adapters/stream/arrivals.hpp"

#include <rapidcheck.h>

#include "bytes.hpp"

using namespace umbra;
using namespace umbra::stream;

namespace {

constexpr std::uint64_t block = model::block_size;

class Recorder final : public ports::BlockSink {
 public:
  void data(std::size_t, std::uint64_t at, const base::Digest& digest, std::span<const std::byte> bytes) override {
    CHECK(base::sha256(bytes) == digest);
    told.push_back("D" + std::to_string(at));
  }
  void zero(std::size_t, std::uint64_t first, std::uint64_t count) override {
    told.push_back("Z" + std::to_string(first) + "+" + std::to_string(count));
  }
  model::PointInfo commit(const base::Digest&) override { return {}; }
  model::ByteCount sent() const override { return {}; }
  std::vector<std::string> told;
};

/// Random bytes go plain, others packed.
Bytes bytes_of(std::uint64_t at) {
  Bytes data(block, static_cast<std::byte>(at + 1));
  if (at % 2 == 0) {
    std::uint64_t state = at + 88172645463325252ull;
    for (std::byte& b : data) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      b = static_cast<std::byte>(state);
    }
  }
  return data;
}

/// A stream of blocks, of zeroes where `zeroes` holds.
class Stream {
 public:
  void data(std::uint64_t at, const base::Digest& digest) { m_encoder.data(m_out, 0, at, digest, bytes_of(at)); }
  void data(std::uint64_t at) { data(at, base::sha256(bytes_of(at))); }
  void zero(std::uint64_t at) { BlockEncoder::zero(m_out, 0, at, 1); }
  FrameReader& read() {
    m_out.flush();
    m_file.rewind();
    return m_in;
  }

 private:
  test::MemoryFile m_file;
  FrameWriter m_out{m_file.fd()};
  BlockEncoder m_encoder;
  FrameReader m_in{m_file.fd()};
};

void take_all(FrameReader& in, Arrivals& arrivals, Recorder& sink) {
  while (const std::optional<Frame> frame = in.next()) arrivals.take(*frame, in, sink);
}

}  // namespace

TEST_CASE("blocks and zeroes are told in their order, whatever is held back meanwhile") {
  CHECK(rc::check([] {
    const auto kinds = *rc::gen::container<std::vector<bool>>(*rc::gen::inRange<std::size_t>(0, 60),
                                                              rc::gen::weightedElement<bool>({{8, true}, {1, false}}));
    Stream stream;
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (kinds[i])
        stream.data(i);
      else
        stream.zero(i);
      expected.push_back(kinds[i] ? "D" + std::to_string(i) : "Z" + std::to_string(i) + "+1");
    }
    Recorder sink;
    Arrivals arrivals;
    take_all(stream.read(), arrivals, sink);
    arrivals.flush(sink);
    RC_ASSERT(sink.told == expected);
  }));
}

TEST_CASE("a block that differs from its digest is named, and neither it nor a later one is told") {
  for (const std::uint64_t wrong : {0u, 7u, 15u, 16u, 20u}) {
    Stream stream;
    for (std::uint64_t at = 0; at < 24; ++at) stream.data(at, base::sha256(bytes_of(at == wrong ? at + 1 : at)));
    Recorder sink;
    Arrivals arrivals;
    const auto error = test::error_of([&] {
      take_all(stream.read(), arrivals, sink);
      arrivals.flush(sink);
    });
    CHECK(error.kind() == base::Kind::corrupt);
    CHECK_THAT(error.what(), Catch::Contains("block " + std::to_string(wrong) + " of"));
    CHECK(sink.told.size() == wrong);
  }
}

TEST_CASE("what is held back is told as soon as nothing more comes: a process that is killed loses little of it") {
  const test::Pipe pipe;
  FrameWriter out(pipe.in.get());
  BlockEncoder encoder;
  FrameReader in(pipe.out.get());
  Recorder sink;
  Arrivals arrivals;
  for (std::uint64_t at = 1; at < 7; at += 2) {  // packed: they fit into the pipe
    encoder.data(out, 0, at, base::sha256(bytes_of(at)), bytes_of(at));
    out.flush();
    const std::optional<Frame> frame = in.next();
    REQUIRE(frame.has_value());
    arrivals.take(*frame, in, sink);
    CHECK(sink.told.size() == at / 2);
    arrivals.before_next(in, sink);
    CHECK(sink.told.size() == at / 2 + 1);
  }
}
