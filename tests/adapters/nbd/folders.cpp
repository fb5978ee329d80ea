// SPDX-License-Identifier: Apache-2.0
// Retention, layers over points, adopted files, and the folders of shadows.

#include <fstream>
#include <functional>

#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::shadow;
using test::vda;
using test::vm;

namespace {

constexpr std::uint64_t size = 4u << 20;

/// Three points; copies of what each must read as.
struct ThreePoints {
  test::Scratch scratch;
  fs::path images = scratch / "images";
  nbd::LocalPoints store{images};
  std::string source = test::make_image(scratch / "source.qcow2", "4M");
  ThreePoints() {
    test::make_shadow(store, size);
    for (int n = 1; n <= 3; ++n) {
      test::guest(source, "write -P " + std::to_string(n) + " " + std::to_string(n * 64) + "k 128k");
      if (n == 3) test::guest(source, "write -z 64k 64k");
      test::pass(store, {source, "qcow2", {}, {}});
      fs::copy(source, expected(n));
    }
  }
  fs::path expected(std::uint64_t n) const { return scratch / ("at-" + std::to_string(n) + ".qcow2"); }
  void check_all() {
    for (const auto& point : store.points(shadow)) {
      INFO("point " << point.number.value);
      CHECK(test::same_contents(expected(point.number.value), point.layers[0]));
      CHECK(store.verify(shadow, point.number, ports::Verify::whole).sound());
    }
  }
  fs::path dir(int n) const { return images / "umbra/web1" / ("point-00000" + std::to_string(n)); }
};

std::vector<std::uint64_t> numbers(ports::PointStore& store) {
  std::vector<std::uint64_t> found;
  for (const auto& point : store.points(shadow)) found.push_back(point.number.value);
  return found;
}

/// Whether every point notes its layers as they are.
bool stamps_hold(const fs::path& images) {
  bool hold = true;
  for (const nbd::StoredPoint& point : nbd::ShadowFolder(images / "umbra", shadow).points()) {
    for (std::size_t i = 0; i < point.info.layers.size(); ++i)
      hold = hold && point.stamps.at(i) && point.stamps[i] == nbd::stamp_of(point.info.layers[i]);
  }
  return hold;
}

std::vector<fs::path> layers_below(const fs::path& dir) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.path().extension() == ".qcow2" && entry.path().parent_path().filename() != "empty")
      found.push_back(entry.path());
  }
  return found;
}

}  // namespace

TEST_CASE("merging keeps what the retained points read, and goes on to one") {
  ThreePoints three;
  CHECK(three.store.retain(shadow, 3) == 0);
  CHECK(three.store.retain(shadow, 2) == 1);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{2, 3});
  three.check_all();
  CHECK(layers_below(three.images).size() == 2);
  CHECK(stamps_hold(three.images));
  CHECK(three.store.retain(shadow, 0) == 1);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{3});
  three.check_all();
  CHECK(layers_below(three.images).size() == 1);
  // Points go on from there.
  test::guest(three.source, "write -P 4 3M 64k");
  test::pass(three.store, {three.source, "qcow2", {}, {}});
  fs::copy(three.source, three.expected(4));
  three.check_all();
}

TEST_CASE("what lay past the end of a disk that shrank does not come back when it grows") {
  ThreePoints three;
  const auto point = [&](int n) {
    test::pass(three.store, {three.source, "qcow2", {}, {}});
    fs::copy(three.source, three.expected(n));
  };
  test::guest(three.source, "write -P 9 3M 64k");
  point(4);
  test::must({"qemu-img", "resize", "-q", "--shrink", three.source, "1M"});
  point(5);
  test::must({"qemu-img", "resize", "-q", three.source, "4M"});
  point(6);
  CHECK(three.store.retain(shadow, 2) == 4);
  three.check_all();
  CHECK(three.store.retain(shadow, 1) == 1);
  three.check_all();
}

TEST_CASE("a merge that was cut after any of its steps is finished by the next") {
  const int steps_done = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(steps_done);
  ThreePoints three;
  const fs::path a = three.dir(1) / "vda.qcow2";
  const fs::path b = three.dir(2) / "vda.qcow2";
  const fs::path c = three.dir(3) / "vda.qcow2";
  fs::rename(three.dir(1) / "point.json", three.dir(1) / "merging.json");
  if (steps_done >= 1) nbd::qemu_img::commit(b, a);
  if (steps_done >= 2) nbd::qemu_img::rebase(c, "../point-000001/vda.qcow2", "qcow2");
  if (steps_done >= 3) {
    std::string text = base::read_text_file(three.dir(2) / "point.json");
    const std::string own = "\"layer\":\"vda.qcow2\"";
    REQUIRE(text.find(own) != std::string::npos);
    text.replace(text.find(own), own.size(), "\"layer\":\"../point-000001/vda.qcow2\"");
    text.resize(text.find('\n') + 1);  // without its digest, as in a file of before
    base::write_file_atomic(three.dir(2) / "point.json", text);
  }
  if (steps_done >= 4) fs::remove(b);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{2, 3});
  three.check_all();  // nothing retained reads otherwise while it is cut
  CHECK(three.store.retain(shadow, 3) == 1);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{2, 3});
  three.check_all();
  CHECK(stamps_hold(three.images));
  CHECK_FALSE(fs::exists(b));
  CHECK_FALSE(fs::exists(three.dir(1) / "merging.json"));
}

TEST_CASE("a merge is refused while a writable layer stands over the points") {
  ThreePoints three;
  three.store.raise_top(shadow, {3}, "rehearsal");
  CHECK(test::error_of([&] { three.store.retain(shadow, 1); }).kind() == base::Kind::refused);
  CHECK(numbers(three.store).size() == 3);
  three.store.drop_top(shadow, "rehearsal");
  CHECK(three.store.retain(shadow, 1) == 2);
  three.check_all();
}

TEST_CASE("a top raised twice is the same, over another point it is refused, and dropping it is enough") {
  ThreePoints three;
  const auto paths = three.store.raise_top(shadow, {3}, "epoch-4");
  REQUIRE(paths.size() == 1);
  CHECK(test::same_contents(paths.at(vda), three.expected(3)));
  test::guest(paths.at(vda), "write -P 77 0 64k");
  CHECK(three.store.raise_top(shadow, {3}, "epoch-4") == paths);
  CHECK_FALSE(test::same_contents(paths.at(vda), three.expected(3)));  // what the guest wrote is still there
  CHECK(test::error_of([&] { three.store.raise_top(shadow, {2}, "epoch-4"); }).kind() == base::Kind::refused);
  CHECK(test::error_of([&] { three.store.raise_top(shadow, {2}, "../x"); }).kind() == base::Kind::invalid);
  three.check_all();
  three.store.drop_top(shadow, "epoch-4");
  three.store.drop_top(shadow, "epoch-4");
  CHECK_FALSE(fs::exists(paths.at(vda)));
}

TEST_CASE("an adopted file becomes a point where it lies, points go on over it, and merging reaches it") {
  const test::Scratch scratch;
  nbd::LocalPoints there(scratch / "there");
  nbd::LocalPoints here(scratch / "here");
  const std::string disk = test::make_image(scratch / "web1.qcow2", "4M");
  test::guest(disk, "write -P 1 0 1M");
  test::make_shadow(there, size);
  test::pass(there, {disk, "qcow2", {}, {}});
  test::must({"qemu-img", "bitmap", "--add", "--enable", disk, "umbra-1"});

  const ports::AdoptRequest request{shadow, vm, {1}, base::Instant{}, {{vda, disk}}, there.manifest(shadow, {1})};
  here.adopt(request);
  here.adopt(request);
  REQUIRE(here.points(shadow).size() == 1);
  CHECK(here.points(shadow)[0].root == there.points(shadow)[0].root);
  CHECK(here.points(shadow)[0].layers[0] == disk);
  CHECK(nbd::qemu_img::info(disk).bitmaps.empty());
  CHECK(here.verify(shadow, {1}, ports::Verify::whole).sound());

  const std::string source = test::make_overlay(scratch / "source.qcow2", disk);
  for (int n = 2; n <= 3; ++n) {
    test::guest(source, "write -P " + std::to_string(n) + " " + std::to_string(n * 64) + "k 64k");
    test::pass(here, {source, "qcow2", {}, {}});
  }
  CHECK(test::same_contents(source, test::newest_layer(here)));
  fs::copy(disk, scratch / "before.qcow2");
  // The source must not stand on the file that the merge writes to.
  test::must(
      {"qemu-img", "rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b", (scratch / "before.qcow2").string(), source});
  CHECK(here.retain(shadow, 1) == 2);
  CHECK(here.points(shadow)[0].layers[0] == disk);
  CHECK(test::same_contents(source, disk));
  CHECK(here.verify(shadow, {3}, ports::Verify::whole).sound());
  here.drop(shadow);
  CHECK(fs::exists(disk));
  CHECK(here.shadows().empty());
}

TEST_CASE("nothing is built on a layer that was written to since it became a point's") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  const std::string disk = test::make_image(scratch / "web1.qcow2", "4M");
  test::guest(disk, "write -P 1 0 1M");
  {
    nbd::LocalPoints there(scratch / "there");
    test::make_shadow(there, size);
    test::pass(there, {disk, "qcow2", {}, {}});
    store.adopt({shadow, vm, {1}, base::Instant{}, {{vda, disk}}, there.manifest(shadow, {1})});
  }
  const std::string source = test::make_image(scratch / "source.qcow2", "4M");
  test::guest(source, "write -P 1 0 1M");
  test::pass(store, {source, "qcow2", {}, {}});

  SECTION("another time alone does not matter, and is noted") {
    fs::last_write_time(disk, fs::file_time_type::clock::now());
    test::guest(source, "write -P 2 0 64k");
    test::pass(store, {source, "qcow2", {}, {}});
    CHECK(nbd::ShadowFolder(scratch / "images/umbra", shadow).point({1}).stamps[0] == nbd::stamp_of(disk));
  }
  SECTION("other contents are told with the file and the point") {
    test::guest(disk, "write -P 9 64k 64k");
    for (const auto& act : std::vector<std::function<void()>>{
             [&] {
               test::pass(store, {source, "qcow2", {}, {}});
             },
             [&] { store.raise_top(shadow, {2}, "rehearsal"); },
             [&] { store.retain(shadow, 1); },
         }) {
      const base::Error error = test::error_of(act);
      CHECK(error.kind() == base::Kind::corrupt);
      CHECK_THAT(error.message(), Catch::Contains(disk) && Catch::Contains("point 1") && Catch::Contains("1 blocks"));
      CHECK_THAT(error.hint(), Catch::Contains("umbra switchover web1 --decommission"));
    }
    CHECK(numbers(store) == std::vector<std::uint64_t>{1, 2});
    CHECK(fs::exists(store.points(shadow)[1].layers[0]));
    CHECK(layers_below(scratch / "images").size() == 1);  // no top was made
  }
}

TEST_CASE("a top that came back frozen is adopted as the next point over the ones it stands on") {
  ThreePoints three;
  const std::string top = three.store.raise_top(shadow, {3}, "epoch-1").at(vda);
  test::guest(top, "write -P 50 1M 64k");
  test::guest(three.source, "write -P 50 1M 64k");
  nbd::LocalPoints there(three.scratch / "there");
  test::make_shadow(there, size);
  test::pass(there, {top, "qcow2", {}, {}});
  three.store.adopt({shadow, vm, {9}, base::Instant{}, {{vda, top}}, there.manifest(shadow, {1})});
  fs::copy(three.source, three.expected(9));
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{1, 2, 3, 9});
  three.check_all();
  CHECK(test::error_of([&] { three.store.drop_top(shadow, "epoch-1"); }).kind() == base::Kind::refused);
  CHECK(test::error_of([&] { three.store.raise_top(shadow, {9}, "epoch-1"); }).kind() == base::Kind::refused);
  CHECK(three.store.raise_top(shadow, {9}, "epoch-3").size() == 1);
  three.store.drop_top(shadow, "epoch-3");
  CHECK(three.store.retain(shadow, 1) == 3);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{9});
  three.check_all();
  CHECK(layers_below(three.images).size() == 1);
}

TEST_CASE("a top under somebody's own snapshot is part of the point that the snapshot becomes") {
  ThreePoints three;
  const std::string top = three.store.raise_top(shadow, {3}, "epoch-1").at(vda);
  test::guest(top, "write -P 50 1M 64k");
  const std::string own = test::make_overlay(three.scratch / "own.qcow2", top);
  test::guest(own, "write -P 51 2M 64k");
  test::guest(three.source, "write -P 50 1M 64k");
  test::guest(three.source, "write -P 51 2M 64k");
  nbd::LocalPoints there(three.scratch / "there");
  test::make_shadow(there, size);
  test::pass(there, {own, "qcow2", {}, {}});
  CHECK(test::error_of([&] { three.store.retain(shadow, 1); }).kind() == base::Kind::refused);  // still in use
  three.store.adopt({shadow, vm, {9}, base::Instant{}, {{vda, own}}, there.manifest(shadow, {1})});
  fs::copy(three.source, three.expected(9));
  CHECK(three.store.retain(shadow, 1) == 3);
  CHECK(numbers(three.store) == std::vector<std::uint64_t>{9});
  three.check_all();
  CHECK(layers_below(three.images).size() == 1);
}

TEST_CASE("an adopted file that stands on no point takes their place, and they go without being merged") {
  ThreePoints three;
  const std::string disk = test::make_image(three.scratch / "alone.qcow2", "4M");
  test::guest(disk, "write -P 8 0 2M");
  nbd::LocalPoints there(three.scratch / "there");
  test::make_shadow(there, size);
  test::pass(there, {disk, "qcow2", {}, {}});
  fs::copy(disk, three.expected(7));
  three.store.adopt({shadow, vm, {7}, base::Instant{}, {{vda, disk}}, there.manifest(shadow, {1})});
  CHECK(three.store.retain(shadow, 1) == 3);
  three.check_all();
  CHECK(layers_below(three.images).empty());
  three.store.drop_with_adopted(shadow);
  CHECK_FALSE(fs::exists(disk));
}

TEST_CASE("a shadow's folder is made once, belongs to its VM, and can be handed from the pool") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  const model::ShadowId pooled{"pool-small-1"};
  const model::VmName nobody{"pool:small"};
  const auto made = store.create(pooled, nobody, {{vda, {size}}});
  CHECK(store.create(pooled, nobody, {{vda, {size}}}) == made);
  CHECK(test::error_of([&] { store.create(pooled, vm, {{vda, {size}}}); }).kind() == base::Kind::refused);
  CHECK(store.points(pooled).empty());
  const std::vector<model::Part> disks{{vda, {2 * size}}, {model::DiskName("vdb"), {size}}};
  const auto claimed = store.claim(pooled, shadow, vm, disks);
  CHECK(claimed.size() == 2);
  CHECK(nbd::qemu_img::info(claimed.at(vda)).size.value == 2 * size);
  CHECK(store.claim(pooled, shadow, vm, disks) == claimed);
  CHECK(store.shadows() == std::vector<model::ShadowId>{shadow});
  CHECK(test::error_of([&] { store.create(model::ShadowId("a/b"), vm, {}); }).kind() == base::Kind::invalid);
  CHECK(test::error_of([&] { store.claim(pooled, model::ShadowId("x"), vm, disks); }).kind() == base::Kind::not_found);
  store.drop(shadow);
  store.drop(shadow);
  CHECK(store.shadows().empty());
}

TEST_CASE("only files that Umbra made beside a disk are removed") {
  ThreePoints three;
  const fs::path made = three.scratch / "web1.umbra-e4.qcow2";
  std::ofstream(made) << "x";
  three.store.remove_made(made);
  CHECK_FALSE(fs::exists(made));
  three.store.remove_made(made);
  const auto kind = [&](const std::string& path) {
    return test::error_of([&] { three.store.remove_made(path); }).kind();
  };
  CHECK(kind(three.source) == base::Kind::invalid);
  CHECK(kind("web1.umbra-e4.qcow2") == base::Kind::invalid);
  CHECK(kind((three.scratch / "x.umbra-e1").string() + "/../source.qcow2") == base::Kind::invalid);
  fs::create_symlink(three.source, three.scratch / "l.umbra-e1.qcow2");
  CHECK(kind(three.scratch / "l.umbra-e1.qcow2") == base::Kind::invalid);
  CHECK(fs::exists(three.source));
  const auto chain = three.store.chain(test::newest_layer(three.store));
  REQUIRE(chain.size() == 3);
  CHECK(chain[2] == (three.dir(1) / "vda.qcow2").string());
}

TEST_CASE("another shadow that is damaged keeps no file from being removed, unless it may own it") {
  ThreePoints three;
  const fs::path made = three.scratch / "web2.umbra-e4.qcow2";
  std::ofstream(made) << "x";
  const auto damage = [&](const std::string& text) {
    std::ofstream(three.dir(2) / "point.json", std::ios::trunc) << text;
  };
  damage("{ \"layer\": \"" + made.string() + "\"");
  CHECK(test::error_of([&] { three.store.remove_made(made); }).kind() == base::Kind::corrupt);
  CHECK(fs::exists(made));
  damage("{ torn");
  three.store.remove_made(made);
  CHECK_FALSE(fs::exists(made));
}

TEST_CASE("a layer is known by whatever path it is reached") {
  ThreePoints three;
  fs::create_directory_symlink(three.images, three.scratch / "link");
  const fs::path layer = fs::path(test::newest_layer(three.store)).lexically_relative(three.images);
  CHECK(nbd::ShadowFolder(three.images / "umbra", shadow).owner_of(three.scratch / "link" / layer) ==
        model::PointNumber{3});
}

TEST_CASE("files in the hands of a running QEMU are neither dropped nor adopted") {
  ThreePoints three;
  const std::string top = three.store.raise_top(shadow, {3}, "epoch-1").at(vda);
  base::Child qemu = base::spawn({"qemu-system-x86_64", "-M", "none", "-nographic", "-monitor", "stdio", "-serial",
                                  "none", "-drive", "if=none,id=d,format=qcow2,file=" + top},
                                 true, true);
  std::array<std::byte, 4> greeting{};
  base::read_full(qemu.from_child.get(), greeting, "QEMU's monitor");
  const auto kind = [&](const std::function<void()>& act) { return test::error_of(act).kind(); };
  CHECK(kind([&] { three.store.drop_top(shadow, "epoch-1"); }) == base::Kind::busy);
  CHECK(kind([&] { three.store.drop(shadow); }) == base::Kind::busy);
  CHECK(kind([&] {
          three.store.adopt({shadow, vm, {9}, {}, {{vda, top}}, three.store.manifest(shadow, {3})});
        }) == base::Kind::busy);
  CHECK(three.store.chain(top).size() == 4);
  CHECK(three.store.verify(shadow, {3}, ports::Verify::whole).sound());
}

TEST_CASE("a shadow whose note of its VM is damaged or gone is that of who asks for it again") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  const std::string source = test::make_image(scratch / "source.qcow2", "4M");
  test::guest(source, "write -P 1 0 1M");
  test::pass(store, {source, "qcow2", {}, {}});
  const fs::path note = scratch / "images/umbra/web1/shadow.json";
  const bool is_gone = GENERATE(false, true);
  is_gone ? fs::remove(note) : (fs::resize_file(note, 3), true);
  if (is_gone) test::make_shadow(store, size);
  test::guest(source, "write -P 2 64k 64k");
  CHECK(test::pass(store, {source, "qcow2", {}, {}}).number.value == 2);
  CHECK(nbd::ShadowFolder(scratch / "images/umbra", shadow).vm() == vm);
  CHECK(store.verify(shadow, {2}, ports::Verify::whole).sound());
}
