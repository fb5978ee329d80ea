// SPDX-License-Identifier: Apache-2.0
// What a far end answers. The first byte says which request it answers; the rest is its side of the session in the
// short form of frames.hpp, or, after an upper-case letter, as it stands.
#include <cctype>

#include "adapters/stream/stream.hpp"
#include "frames.hpp"

using namespace umbra;

namespace {

constexpr std::uint64_t blocks = 2;
const model::ShadowId shadow("web1");

/// The answers. `early`: whether one is noticed before it is asked for.
class Answers final : public base::Line {
 public:
  Answers(int fd, bool early) : m_in(fd, -1), m_early(early) {}
  std::size_t read_full(std::span<std::byte> buffer) override { return m_in.read_full(buffer); }
  void write_all(std::span<const std::byte>) override {}
  bool ready_within(base::Millis) const override { return m_early; }

 private:
  base::FdLine m_in;
  bool m_early;
};

void must_fit(const model::Manifest& manifest) {
  for (const model::PartManifest& part : manifest.parts)
    fuzz::must(part.blocks.size() == model::blocks_in(part.part.size));
}

void point(ports::PointStore& far) {
  model::PointHeader header;
  header.shadow = shadow;
  header.vm = model::VmName("web1");
  header.number = {1};
  header.parts = {{model::DiskName("vda"), {blocks * model::block_size}}};
  header.resume = true;
  const auto sink = far.begin(header);
  for (const ports::KeptBlocks& part : sink->kept()) {
    std::uint64_t next = 0;
    for (model::BlockRun run = part.next(0); run.count > 0; run = part.next(next)) {
      fuzz::must(run.block >= next && run.count <= blocks - run.block);
      next = run.block + run.count;
    }
  }
  sink->zero(0, 0, 1);
  sink->commit({});
}

void ask(ports::PointStore& far, int request) {
  switch (request) {
    case 'p':
      for (const model::PointInfo& info : far.points(shadow)) fuzz::must(info.layers.size() == info.parts.size());
      break;
    case 'm':
      must_fit(far.manifest(shadow, {1}));
      break;
    case 'e':
      if (const model::Ground ground = far.examine(shadow); ground.found) must_fit(*ground.found);
      break;
    case 'b':
    case 'c':  // the far end speaks up while the point is sent
      point(far);
      break;
    case 'v':
      far.verify(shadow, {1}, ports::Verify::whole);
      break;
    case 't':
      far.raise_top(shadow, {1}, "rehearsal");
      break;
    default:
      far.shadows();
      far.retain(shadow, ports::Keep{1});
      far.export_point(shadow, {1}, "/tmp");
      far.chain("/tmp/x");
      far.free_space();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  const bool raw = std::isupper(data[0]) != 0;
  const fuzz::InputFile answers(raw ? rest : std::string_view());
  if (!raw) fuzz::write_stream(answers.fd(), stream::StreamKind::session, rest);
  ::lseek(answers.fd(), 0, SEEK_SET);
  const int request = std::tolower(data[0]);
  fuzz::may_refuse([&] {
    const auto far = stream::connect(std::make_unique<Answers>(answers.fd(), request == 'c'), "a far end");
    ask(*far, request);
  });
  return 0;
}
