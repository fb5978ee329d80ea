// SPDX-License-Identifier: Apache-2.0
// The end of damaged points, points that go by their age, and points that leave as an image.

#include <fstream>

#include "damage.hpp"
#include "fakes/lesser_kernel.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::block;
using test::flip;
using test::place_of;
using test::shadow;
using test::vda;
using Shadow = test::DamagedShadow;

TEST_CASE("damaged points that no sound one stands on go at once, the others when it is their turn") {
  Shadow s;
  SECTION("lost ones") {
    fs::remove(s.layer(2));
    s.repair();
    CHECK(s.store.retain(shadow, 9) == 2);
    CHECK_FALSE(fs::exists(s.dir(2)));
    CHECK_FALSE(fs::exists(s.dir(3)));
  }
  SECTION("one that is stood on, cut at any act of its end") {
    test::guest(s.layer(2), "write -P 99 1280k 512");
    s.repair();
    CHECK(s.store.retain(shadow, 9) == 0);
    CHECK(s.store.points(shadow).size() == 4);
    SECTION("never") {}
    SECTION("while it is copied") {
      std::ofstream(s.dir(4) / ".making-vda.qcow2") << "half";
    }
    SECTION("when the copy had its name") {
      nbd::qemu_img::convert(s.layer(4), s.dir(4) / "x");
      fs::rename(s.dir(4) / "x", s.layer(4));
    }
    SECTION("when one was no point any more") {
      fs::remove(s.dir(2) / "point.json");
    }
    CHECK(s.store.retain(shadow, 2) > 0);
    CHECK(s.store.points(shadow).front().number.value == 1);
    CHECK(nbd::qemu_img::chain(test::newest_layer(s.store)).size() == 1);
    CHECK_FALSE(fs::exists(s.dir(2)));
    CHECK_FALSE(fs::exists(s.dir(3)));
  }
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("nothing is given up while the newest point is damaged") {
  Shadow s;
  test::guest(s.layer(3), "write -P 99 2560k 512");
  s.store.examine(shadow);
  CHECK(s.store.retain(shadow, 1) == 0);
  CHECK(s.store.points(shadow).size() == 3);
  CHECK(s.store.verify(shadow, {2}, ports::Verify::whole).sound());
}

TEST_CASE("a cut merge whose files or note are damaged does not stay for ever") {
  Shadow s;
  fs::rename(s.dir(1) / "point.json", s.dir(1) / "merging.json");
  SECTION("its note") {
    flip(s.dir(1) / "merging.json", 40);
  }
  SECTION("the point that it goes into") {
    test::guest(s.layer(2), "write -P 99 1280k 512");
    s.repair();
  }
  SECTION("the file that it goes into") {
    flip(s.layer(1), 0);
    s.repair();
  }
  s.check_goes_on();
  CHECK_FALSE(fs::exists(s.dir(1) / "merging.json"));
}

TEST_CASE("points go by their age too, but for the newest sound one") {
  Shadow s;
  const auto taken = s.store.points(shadow)[0].taken_at;
  CHECK(s.store.retain(shadow, {9, taken}) == 0);
  CHECK(s.store.retain(shadow, {9, taken + std::chrono::seconds(1)}) == 2);
  CHECK(s.store.points(shadow).size() == 1);
  CHECK(s.store.retain(shadow, {9, taken + std::chrono::hours(1)}) == 0);
  CHECK(s.store.verify(shadow, {3}, ports::Verify::whole).sound());
}

TEST_CASE("a point that is read whole as it should be is sound again") {
  Shadow s;
  const std::uint64_t at = place_of(s.layer(3), 40 * block);
  flip(s.layer(3), at);
  CHECK_FALSE(s.store.verify(shadow, {3}, ports::Verify::whole).sound());
  s.store.examine(shadow);
  CHECK_FALSE(s.store.points(shadow).back().sound());
  flip(s.layer(3), at);
  CHECK(s.store.verify(shadow, {3}, ports::Verify::whole).sound());
  CHECK(s.store.points(shadow).back().sound());
  CHECK_FALSE(s.store.examine(shadow).found);
}

TEST_CASE("an export of several disks is all of them or none") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  const model::DiskName vdb("vdb");
  test::make_shadow(store, test::size);
  model::PointHeader header = test::next_header(store);
  header.parts = {{vda, {test::size}}, {vdb, {test::size}}};
  auto sink = store.begin(header);
  ports::ChangeDigest changes;
  const std::vector<std::byte> data(block, std::byte{7});
  for (const std::size_t part : {0u, 1u}) {
    sink->data(part, 0, base::sha256(data), data);
    changes.data(part, 0, base::sha256(data));
  }
  const model::PointInfo point = sink->commit(changes.finish());
  sink.reset();
  const fs::path out = scratch / "out";
  fs::create_directory(out);
  SECTION("the second one is damaged") {
    flip(point.layers[1], place_of(point.layers[1], 0));
    CHECK(test::error_of([&] { store.export_point(shadow, {1}, out); }).kind() == base::Kind::corrupt);
    CHECK(fs::is_empty(out));
  }
  SECTION("one that was killed while it gave names is taken back by the next, but for what is another's by then") {
    CHECK(test::status_in_a_process([&] {
            test::die_at(SYS_renameat2);
            store.export_point(shadow, {1}, out);
            return 0;
          }) == 128 + SIGSYS);
    CHECK_FALSE(fs::exists(out / "vda.qcow2"));
    const auto give_name = [&](const std::string& disk) {
      fs::rename(out / (".umbra-export-web1-" + disk), out / disk);
    };
    SECTION("before the first") {}
    SECTION("after the first") {
      give_name("vda.qcow2");
    }
    SECTION("after the first, and that one is used since") {
      give_name("vda.qcow2");
      test::guest(out / "vda.qcow2", "write -P 9 0 64k");
      CHECK(test::error_of([&] { store.export_point(shadow, {1}, out); }).kind() == base::Kind::refused);
      fs::remove(out / "vda.qcow2");
    }
    SECTION("after the last: it is whole") {
      give_name("vda.qcow2");
      give_name("vdb.qcow2");
      CHECK(test::error_of([&] { store.export_point(shadow, {1}, out); }).kind() == base::Kind::refused);
      CHECK(std::distance(fs::directory_iterator(out), {}) == 2);
      for (const char* disk : {"vda.qcow2", "vdb.qcow2"}) fs::remove(out / disk);
    }
    CHECK(store.export_point(shadow, {1}, out).size() == 2);
    CHECK(test::same_contents(out / "vdb.qcow2", point.layers[1]));
    CHECK(std::distance(fs::directory_iterator(out), {}) == 2);
  }
  SECTION("the file system can't rename without replacing: as over NFS, or as on one without hard links") {
    const bool links = GENERATE(true, false);
    fs::create_directory(out / "there");
    std::ofstream(out / "there/vdb.qcow2") << "mine";
    CHECK(test::status_in_a_process([&] {
            test::do_without(SYS_renameat2, EINVAL);
            if (!links) test::do_without(SYS_link, EPERM);
            if (store.export_point(shadow, {1}, out).size() != 2) return 1;
            if (!test::same_contents(out / "vda.qcow2", point.layers[0])) return 2;
            try {
              store.export_point(shadow, {1}, out / "there");
            } catch (const base::Error& e) {
              return e.kind() == base::Kind::refused ? 0 : 3;
            }
            return 4;
          }) == 0);
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(out)) files += entry.is_regular_file() ? 1 : 0;
    CHECK(files == 3);  // and none of another name
    CHECK(base::read_text_file(out / "there/vdb.qcow2") == "mine");
  }
}

TEST_CASE("an export is a plain image of the point, never over another file, and never of a damaged point") {
  Shadow s;
  const fs::path out = s.scratch / "out";
  fs::create_directory(out);
  CHECK(s.store.export_point(shadow, {3}, out) == std::vector<std::string>{out / "vda.qcow2"});
  CHECK(test::same_contents(s.source, out / "vda.qcow2"));
  CHECK(nbd::qemu_img::info(out / "vda.qcow2").backing.empty());
  const auto kind = [&](int n, const fs::path& to) {
    return test::error_of([&] { s.store.export_point(shadow, {std::uint64_t(n)}, to); }).kind();
  };
  CHECK(kind(3, out) == base::Kind::refused);
  CHECK(s.store.export_point(shadow, {2}, out / "two.qcow2").size() == 1);
  CHECK(kind(2, out / "two.qcow2") == base::Kind::refused);
  CHECK(kind(2, "relative") == base::Kind::invalid);
  flip(s.layer(2), place_of(s.layer(2), 20 * block));
  CHECK(kind(2, out / "damaged.qcow2") == base::Kind::corrupt);  // seen while it was copied
  s.store.verify(shadow, {2}, ports::Verify::whole);
  CHECK(kind(2, out / "damaged.qcow2") == base::Kind::refused);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(out)) ++files;
  CHECK(files == 2);
}
