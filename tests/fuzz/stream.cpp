// SPDX-License-Identifier: Apache-2.0
// The stream's receiver. The first byte says how the rest is meant: 'r' the bytes of a stream as they are; 's' and 'o'
// the frames of a session or of one point in the short form of frames.hpp.
#include "adapters/stream/stream.hpp"

#include "frames.hpp"

using namespace umbra;

namespace {

class Sink : public ports::BlockSink {
 public:
  void data(std::size_t, std::uint64_t, const base::Digest&, std::span<const std::byte> data) override {
    fuzz::must(!data.empty() && data.size() <= model::block_size);
    m_sent += {data.size()};
  }
  void zero(std::size_t, std::uint64_t, std::uint64_t) override {}
  model::PointInfo commit(const base::Digest&) override { return {}; }
  model::ByteCount sent() const override { return m_sent; }

 private:
  model::ByteCount m_sent;
};

/// Takes everything and holds nothing.
class Store : public ports::PointStore {
 public:
  using Paths = std::map<model::DiskName, std::string>;
  using Parts = std::vector<model::Part>;
  Paths create(const model::ShadowId&, const model::VmName&, const Parts&) override { return {}; }
  Paths claim(const model::ShadowId&, const model::ShadowId&, const model::VmName&, const Parts&) override {
    return {};
  }
  void drop(const model::ShadowId&) override {}
  void drop_with_adopted(const model::ShadowId&) override {}
  void take_back(const model::ShadowId&) override {}
  std::vector<model::ShadowId> shadows() override { return {}; }
  std::vector<model::PointInfo> points(const model::ShadowId&) override { return {}; }
  model::Manifest manifest(const model::ShadowId&, model::PointNumber) override { return {}; }
  std::string activity(const model::ShadowId&, model::PointNumber) override { return {}; }
  model::Ground examine(const model::ShadowId&) override {
    model::Ground ground;
    ground.parent.emplace();
    ground.found = model::Manifest{{{{model::DiskName("vda"), {131072}}, base::DigestList(2)}}};
    return ground;
  }
  std::unique_ptr<ports::BlockSink> begin(const model::PointHeader&) override { return std::make_unique<Sink>(); }
  model::VerifyReport verify(const model::ShadowId&, model::PointNumber, ports::Verify) override { return {}; }
  unsigned retain(const model::ShadowId&, const ports::Keep&) override { return 0; }
  std::vector<std::string> export_point(const model::ShadowId&, model::PointNumber, const std::string&) override {
    return {};
  }
  Paths raise_top(const model::ShadowId&, model::PointNumber, const std::string&) override { return {}; }
  void drop_top(const model::ShadowId&, const std::string&) override {}
  void adopt(const ports::AdoptRequest& request) override {
    for (const model::PartManifest& part : request.manifest.parts)
      fuzz::must(part.blocks.size() == (part.part.size.value + model::block_size - 1) / model::block_size);
  }
  void remove_made(const std::string&) override {}
  std::vector<std::string> chain(const std::string&) override { return {}; }
  model::FileStamp stamp(const std::string&) override { return {}; }
  model::ByteCount free_space() override { return {}; }
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  const bool one_point = data[0] == 'o';
  const fuzz::InputFile in(data[0] == 'r' ? rest : std::string_view());
  if (data[0] != 'r')
    fuzz::write_stream(in.fd(), one_point ? stream::StreamKind::one_point : stream::StreamKind::session, rest);
  ::lseek(in.fd(), 0, SEEK_SET);
  const fuzz::InputFile answers("");
  Store store;
  fuzz::may_refuse([&] {
    if (one_point)
      stream::receive_one_way(store, in.fd());
    else
      stream::serve(store, in.fd(), answers.fd());
  });
  return 0;
}
