// SPDX-License-Identifier: Apache-2.0
// What a client who came over the network may reach: the folder that is served, and nothing beside it.
#include "fakes/thrown.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using base::Kind;
using test::kind_of;
using test::shadow;
using test::vda;
using test::vm;

TEST_CASE("a confined store reaches no file outside of its folder, by whatever name") {
  constexpr std::uint64_t size = 4u << 20;
  const test::Scratch scratch;
  fs::create_directories(scratch / "served");
  nbd::LocalPoints store(scratch / "served");
  const std::string source = test::make_image(scratch / "source.qcow2", "4M");
  test::make_shadow(store, size);
  test::pass(store, {source, "qcow2", {}, {}});

  const std::string other = test::make_image(scratch / "other.qcow2", "4M");
  const std::string made = test::make_image(scratch / "web1.umbra-e1.qcow2", "4M");
  fs::create_directory_symlink(fs::canonical(scratch / "served/.."), scratch / "served/out");
  const std::string around = (scratch / "served/out/other.qcow2").string();
  store.confine();
  for (const std::string& file : {other, around}) {
    CHECK(kind_of([&] { store.chain(file); }) == Kind::refused);
    CHECK(kind_of([&] { store.stamp(file); }) == Kind::refused);
    CHECK(kind_of([&] {
            store.adopt({shadow, vm, {2}, base::Instant{}, {{vda, file}}, store.manifest(shadow, {1})});
          }) == Kind::refused);
  }
  CHECK(kind_of([&] { store.remove_made(made); }) == Kind::refused);
  CHECK(kind_of([&] { store.export_point(shadow, {1}, (scratch / "copy.qcow2").string()); }) == Kind::refused);
  CHECK(fs::exists(made));
  CHECK(store.points(shadow).size() == 1);
  const std::string inside = (scratch / "served/copy.qcow2").string();
  CHECK(store.export_point(shadow, {1}, inside) == std::vector{inside});
}
