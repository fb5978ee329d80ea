// SPDX-License-Identifier: Apache-2.0
// shadow.json, the note whose a shadow's folder is.

#include "adapters/nbd/shadow_folder.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::shadow;
using test::vda;
using test::vm;

namespace {

constexpr std::uint64_t size = 4u << 20;

}  // namespace

TEST_CASE("a bit of a shadow's note of its VM is told and mended from the points, and never by another VM's word") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  const std::string source = test::make_image(scratch / "source.qcow2", "4M");
  test::guest(source, "write -P 1 0 1M");
  test::pass(store, {source, "qcow2", {}, {}});
  const nbd::ShadowFolder folder(scratch / "images/umbra", shadow);
  const fs::path note = folder.path() / "shadow.json";
  const std::string whole = base::read_text_file(note);
  std::string text = whole;
  const std::size_t at = GENERATE_COPY(std::size_t{3}, whole.find("web1") + 1, whole.find("sha256") + 10);
  CAPTURE(at);
  text[at] = static_cast<char>(text[at] ^ 1);
  base::write_file_atomic(note, text);
  CHECK(folder.vm() == vm);  // as the points say

  const model::VmName other("other");
  CHECK(test::error_of([&] { store.create(shadow, other, {}); }).kind() == base::Kind::refused);
  model::PointHeader header = test::next_header(store);
  header.vm = other;
  header.parts = {{vda, {size}}};
  CHECK(test::error_of([&] { store.begin(header); }).kind() == base::Kind::refused);
  CHECK(base::read_text_file(note) == text);

  // Reading changes nothing.
  CHECK(store.verify(shadow, {1}, ports::Verify::whole).sound());
  CHECK(base::read_text_file(note) == text);

  if (GENERATE(true, false))
    store.create(shadow, vm, {});
  else
    test::pass(store, {source, "qcow2", {}, {}});
  CHECK(base::read_text_file(note) == whole);
}
