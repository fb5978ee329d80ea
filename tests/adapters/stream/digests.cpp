// SPDX-License-Identifier: Apache-2.0
// Manifests on the wire: pages of holes don't travel, and what breaks the format is refused before memory is taken.
#include "adapters/stream/block_codec.hpp"

#include "bytes.hpp"
#include "fakes/thrown.hpp"

using namespace umbra;
using namespace umbra::stream;

namespace {

constexpr std::uint64_t page = base::DigestList::page_digests;
const model::DiskName vda("vda");

model::Part part_of(std::uint64_t blocks) {
  return {vda, {blocks * model::block_size}};
}

/// One frame, as it may come from anywhere.
struct Digests {
  std::uint32_t part = 0;
  std::uint64_t page = 0;
  std::size_t digests = base::DigestList::page_digests;
  std::byte fill{7};
};

base::Kind refused(const std::vector<Digests>& frames, const std::vector<model::Part>& parts, std::uint64_t pages) {
  const test::MemoryFile file;
  FrameWriter out(file.fd());
  for (const Digests& one : frames) {
    Bytes payload;
    put(payload, one.part);
    put(payload, one.page);
    payload.resize(payload.size() + one.digests * digest_size, one.fill);
    out.frame(FrameType::digests, payload);
  }
  out.flush();
  const test::MemoryFile from(file.content());
  FrameReader in(from.fd());
  return test::error_of([&] { read_digests(in, parts, pages); }).kind();
}

}  // namespace

TEST_CASE("a manifest comes as it went, without its holes") {
  model::Manifest manifest;
  for (const std::uint64_t blocks : {model::most_size / 2 / model::block_size, 5 * page + 3}) {
    model::PartManifest part{part_of(blocks), base::DigestList(blocks)};
    for (const std::uint64_t at : {std::uint64_t{1}, 2 * page, blocks - 1}) part.blocks.set(at, base::sha256({}));
    manifest.parts.push_back(std::move(part));
  }
  const test::MemoryFile file;
  FrameWriter out(file.fd());
  write_digests(out, manifest);
  out.flush();
  CHECK(pages_of(manifest) == 6);
  CHECK(out.written().value < 6 * (page * digest_size + 100));
  const test::MemoryFile from(file.content());
  FrameReader in(from.fd());
  const model::Manifest came = read_digests(in, {manifest.parts[0].part, manifest.parts[1].part}, 6);
  CHECK(model::root_of(came) == model::root_of(manifest));
  CHECK(came.parts[1].blocks == manifest.parts[1].blocks);
}

TEST_CASE("pages that break the format are refused, and sizes that no point has") {
  constexpr base::Kind corrupt = base::Kind::corrupt;
  const std::vector<model::Part> parts{part_of(3 * page), part_of(page + 1)};
  CHECK(refused({{0, 1}, {0, 1}}, parts, 2) == corrupt);
  CHECK(refused({{0, 2}, {0, 1}}, parts, 2) == corrupt);
  CHECK(refused({{1, 0}, {0, 0}}, parts, 2) == corrupt);
  CHECK(refused({{0, 3}}, parts, 1) == corrupt);
  CHECK(refused({{2, 0}}, parts, 1) == corrupt);
  CHECK(refused({{1, 1}}, parts, 1) == corrupt);  // the last page has one digest
  CHECK(refused({{0, 0, page - 1}}, parts, 1) == corrupt);
  CHECK(refused({{0, 0, page, std::byte{0}}}, parts, 1) == corrupt);
  CHECK(refused({{0, 0}}, parts, 2) == corrupt);  // one was announced that does not come
  CHECK(refused({}, {part_of(model::most_size / model::block_size), part_of(1)}, 0) == corrupt);
  CHECK(refused({}, {{vda, {~std::uint64_t{0}}}}, 1) == corrupt);
}
