// SPDX-License-Identifier: Apache-2.0
// Damage of what lies on the shadow's host: recognised, named, and repaired by the next pass, which sends only what
// differs. Real files, damaged in place as a disk would: their times stay.

#include "damage.hpp"

#include "adapters/nbd/qemu_nbd.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::block;
using test::flip;
using test::place_of;
using test::shadow;
using test::size;
using test::vda;
using test::vm;
using Shadow = test::DamagedShadow;

TEST_CASE("a flipped bit in any layer is found by reading all, named, and the next pass sends that block alone") {
  const int n = GENERATE(1, 2, 3);
  CAPTURE(n);
  Shadow s;
  const std::uint64_t at = (n == 1 ? 3 : n == 2 ? 20 : 40) * block;
  flip(s.layer(n), place_of(s.layer(n), at) + 100);
  const auto report = s.store.verify(shadow, {3}, ports::Verify::whole);
  REQUIRE(report.mismatches.size() == 1);
  CHECK(report.mismatches[0].disk == vda);
  CHECK(report.mismatches[0].offset == at);
  // Every point that shows the block is marked, and no other.
  for (const auto& point : s.store.points(shadow)) CHECK(point.sound() == (point.number.value < std::uint64_t(n)));
  const std::string why = s.repair();
  CHECK_THAT(why, Catch::Contains(fmt::format("vda at byte {}", at)));
  CHECK(s.counts.data.value == block);
  CHECK(s.counts.looked.value == size);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a point that shows damage behind the thousand places that are told is marked too") {
  test::Scratch scratch;
  nbd::LocalPoints store{scratch / "images"};
  const std::string source = test::make_image(scratch / "source.qcow2", "100M");
  test::make_shadow(store, 100u << 20);
  test::guest(source, "write -P 1 0 80M");
  test::pass(store, {source, "qcow2", {}, {}});
  test::guest(source, "write -P 2 0 72M");  // 1,152 blocks that point 1 does not show
  test::pass(store, {source, "qcow2", {}, {}});
  const auto layer = [&](std::uint64_t n) { return fs::path(store.points(shadow).at(n - 1).layers.at(0)); };
  const std::string lost = fmt::format("write -P 3 {} 72M", place_of(layer(2), 0));
  test::keeping_time(layer(2), [&] { test::must({"qemu-io", "-f", "raw", "-c", lost, layer(2).string()}); });
  flip(layer(1), place_of(layer(1), 1200 * block) + 100);
  const model::VerifyReport report = store.verify(shadow, {2}, ports::Verify::whole);
  CHECK(report.mismatches.size() == model::VerifyReport::most_told);
  CHECK(report.places == 1153);
  for (const auto& point : store.points(shadow)) {
    CAPTURE(point.number.value);
    CHECK_FALSE(point.sound());
  }
}

TEST_CASE("a layer that was written to with its time is found without being asked, and repaired") {
  const int n = GENERATE(1, 3);
  Shadow s;
  test::guest(s.layer(n), "write -P 99 128k 512");
  CHECK_THAT(s.repair(), Catch::Contains("vda at byte 131072") && Catch::Contains(s.layer(n).string()));
  CHECK(s.counts.data.value == block);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a layer that another process writes to is busy, and nothing above it counts as damaged") {
  Shadow s;
  const nbd::QemuNbd held({.path = s.layer(1), .format = "qcow2", .read_only = false});
  for (const auto what : {ports::Verify::whole, ports::Verify::sample}) {
    try {
      const model::VerifyReport report = s.store.verify(shadow, {3}, what);
      CHECK(report.sound());
    } catch (const base::Error& e) {
      CHECK(e.kind() == base::Kind::busy);
    }
    for (const auto& point : s.store.points(shadow)) CHECK(point.sound());
  }
}

TEST_CASE("a layer that opens no more, is gone or cut short costs the points that stand on it, and a pass mends that") {
  Shadow s;
  const auto broken = [&](int n) {
    SECTION("its header is damaged") {
      flip(s.layer(n), 0);
    }
    SECTION("it is gone") {
      fs::remove(s.layer(n));
    }
    SECTION("it is empty") {
      fs::resize_file(s.layer(n), 0);
    }
    SECTION("its whole folder is gone") {
      fs::remove_all(s.dir(n));
    }
  };
  SECTION("the newest: what the one below lacks is sent") {
    broken(3);
    s.repair();
    CHECK(s.counts.data.value == block);
  }
  SECTION("one in the middle: what the first lacks is sent") {
    broken(2);
    CHECK_THAT(s.repair(), Catch::Contains("point 3 is damaged: vda: ") && Catch::Contains("point-000002"));
    CHECK(s.counts.data.value == 2 * block);
  }
  SECTION("the base: nothing is left, all is sent, and it is said") {
    broken(1);
    CHECK_THAT(s.repair(), Catch::Contains("nothing is left to build on: ") && Catch::Contains("point-000001"));
    CHECK(s.counts.data.value == 18 * block);
  }
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a layer cut short within its data costs what is lost of it") {
  Shadow s;
  fs::resize_file(s.layer(1), place_of(s.layer(1), 10 * block));
  CHECK_THAT(s.repair(), Catch::Contains("vda at byte 655360"));
  CHECK(s.counts.data.value == 6 * block);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("metadata that lead elsewhere are found by what the guest would read") {
  Shadow s;
  // The table that says where the clusters are: its entry of block 5 points past the end, or between two clusters.
  const std::uint64_t table = place_of(s.layer(1), 0) - block;
  const auto which = GENERATE(5, 6);
  const std::uint64_t entry = table + 5 * 8;
  INFO("the table's byte " << which);
  flip(s.layer(1), entry + static_cast<std::uint64_t>(which));
  const auto report = s.store.verify(shadow, {3}, ports::Verify::whole);
  REQUIRE_FALSE(report.sound());
  CHECK(report.mismatches[0].offset == 5 * block);
  s.repair();
  CHECK(s.counts.data.value <= 16 * block);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a damaged or missing manifest, or description, is told, and the pass sends what differs") {
  const int n = GENERATE(3, 2);
  Shadow s;
  std::uint64_t sent = 0;
  std::string told = "vda.digests";
  SECTION("a bit of the digests") {
    flip(s.dir(n) / "vda.digests", 64 + 3 * 32);
  }
  SECTION("no digests") {
    fs::remove(s.dir(n) / "vda.digests");
  }
  SECTION("digests cut short") {
    fs::resize_file(s.dir(n) / "vda.digests", 100);
  }
  SECTION("a bit of the description, whichever") {
    const std::uint64_t at = GENERATE(1, 30, 120, 250);
    CAPTURE(at);
    told = "point.json";
    flip(s.dir(n) / "point.json", at);  // its copy tells of what to build on
  }
  SECTION("a digit of the description's time, which makes another time of it") {
    told = "point.json";
    const std::string text = base::read_text_file(s.dir(n) / "point.json");
    flip(s.dir(n) / "point.json", text.find(":13:20Z") + 5, 0);
  }
  SECTION("no description") {
    told = "point.json is gone";
    fs::remove(s.dir(n) / "point.json");
  }
  SECTION("neither description nor copy: the one below is built on") {
    told = "point.json";
    fs::remove_all(s.dir(n).parent_path() / "descriptions");
    if (GENERATE(true, false))
      flip(s.dir(n) / "point.json", 30);
    else
      fs::remove(s.dir(n) / "point.json");
    if (n == 3) sent = block;
  }
  const auto report = s.store.verify(shadow, {std::uint64_t(n)}, ports::Verify::whole);
  REQUIRE_FALSE(report.sound());
  CHECK_THAT(report.mismatches[0].what, Catch::Contains(told));
  if (told == "vda.digests") {
    CHECK_FALSE(report.mismatches[0].offset);
    CHECK_THAT(report.mismatches[0].what, Catch::Contains((s.dir(n) / "vda.digests").string()) &&
                                              Catch::Contains("a pass that builds on the point reads"));
  }
  const std::string why = s.repair();
  if (n == 3) CHECK_THAT(why, Catch::Contains(told) && Catch::Contains("point 3"));
  CHECK(s.counts.data.value == sent);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a point whose folder is gone is told, its number is not given again, and the next pass makes all good") {
  Shadow s;
  const int n = GENERATE(1, 2, 3);
  fs::remove_all(s.dir(n));
  const auto points = s.store.points(shadow);
  REQUIRE(points.size() == 3);
  CHECK_THAT(points.at(n - 1).damaged, Catch::Contains("its folder") && Catch::Contains("is gone"));
  const auto report = s.store.verify(shadow, {std::uint64_t(n)}, ports::Verify::whole);
  REQUIRE_FALSE(report.sound());
  CHECK_THAT(report.mismatches[0].what, Catch::Contains("is gone"));
  CHECK_THAT(s.repair(), Catch::Contains("point 3 is damaged"));
  CHECK(s.newest.value == 4);
  CHECK(s.counts.data.value == (n == 1 ? 18u : n == 2 ? 2u : 1u) * block);
  s.check_repaired();
  CHECK(s.store.retain(shadow, 1) > 0);
  CHECK(s.store.points(shadow).size() == 1);
  s.check_goes_on();
}

TEST_CASE("the only point's lost folder or description is told, and what its files still hold is not sent again") {
  Shadow s;
  s.store.retain(shadow, 1);
  std::uint64_t sent = 0;
  SECTION("the description") {
    fs::remove(s.dir(3) / "point.json");
  }
  SECTION("the folder: the layer lies in that of the point which was merged into it") {
    fs::remove_all(s.dir(3));
  }
  SECTION("all folders") {
    for (const int n : {1, 3}) fs::remove_all(s.dir(n));
    sent = 18 * block;
  }
  CHECK_FALSE(s.store.points(shadow).back().sound());
  CHECK_THAT(s.repair(), Catch::Contains("point 3 is damaged"));
  CHECK(s.newest.value == 4);
  CHECK(s.counts.data.value == sent);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a copy of a description that is lost or damaged is written again by the next look, and read by none") {
  Shadow s;
  const fs::path copy = s.dir(3).parent_path() / "descriptions/point-000003.json";
  const std::string text = base::read_text_file(copy);
  CHECK(text == base::read_text_file(s.dir(3) / "point.json"));
  if (GENERATE(true, false))
    fs::remove(copy);
  else
    flip(copy, 30);
  CHECK(s.store.points(shadow).back().sound());
  CHECK(s.store.examine(shadow).damage.empty());
  CHECK(base::read_text_file(copy) == text);
  s.store.retain(shadow, 1);
  CHECK_FALSE(fs::exists(copy.parent_path() / "point-000001.json"));
  CHECK(base::read_text_file(copy) == base::read_text_file(s.dir(3) / "point.json"));
}

TEST_CASE("a shadow whose points are all gone gets a full pass that says so") {
  Shadow s;
  for (const int n : {1, 2, 3}) fs::remove_all(s.dir(n));
  fs::remove_all(s.dir(1).parent_path() / "descriptions");
  const model::Ground ground = s.store.examine(shadow);
  CHECK_FALSE(ground.parent);
  CHECK_THAT(ports::choose_method(ground, {model::CheckpointName("umbra-3-0000000a")}, {}).why,
             Catch::Contains("umbra-3-0000000a") && Catch::Contains("gone"));
  s.repair();
  s.check_repaired();
}

TEST_CASE("a block that is damaged when it is read back fails that pass, and the next one repairs") {
  Shadow s;
  s.guest("write -P 4 3M 64k");
  const model::PointInfo made = test::pass(s.store, {s.source, "qcow2", {}, {}});
  flip(s.layer(4), place_of(s.layer(4), 3u << 20));
  const base::Error error = test::error_of([&] { ports::require_equal(s.store, shadow, vm, made.number); });
  CHECK(error.kind() == base::Kind::corrupt);
  CHECK_THAT(error.message(), Catch::Contains("vda at byte 3145728"));
  CHECK_FALSE(s.store.points(shadow).back().sound());
  CHECK(test::error_of([&] { s.store.raise_top(shadow, {4}, "x"); }).kind() == base::Kind::refused);
  CHECK(s.store.raise_top(shadow, {3}, "x").size() == 1);
  s.store.drop_top(shadow, "x");
  CHECK_THAT(s.repair(), Catch::Contains("point 4 is damaged: vda at byte 3145728"));
  CHECK(s.counts.data.value == block);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("the sample of a pass finds damage in blocks that it did not write") {
  Shadow s;
  flip(s.layer(1), place_of(s.layer(1), 3 * block));
  s.guest("write -P 4 3M 64k");
  // 19 blocks hold data: all of them are in the sample.
  CHECK(test::error_of([&] { s.repair(); }).kind() == base::Kind::corrupt);
  CHECK_THAT(s.repair(), Catch::Contains("vda at byte 196608"));
  s.check_repaired();
}

TEST_CASE("a file that changed after the look is noticed before anything is built on it") {
  Shadow s;
  test::guest(s.layer(3), "write -P 99 0 512");
  const model::Ground first = s.store.examine(shadow);
  REQUIRE(first.found);
  test::guest(s.layer(3), "write -P 98 64k 512");
  model::PointHeader header = test::next_header(s.store);
  header.parts = {{vda, {size}}};
  header.parent_root = first.parent->root;
  CHECK(test::error_of([&] { s.store.begin(header); }).kind() == base::Kind::corrupt);
  CHECK_FALSE(s.store.points(shadow).back().sound());
  s.repair();
  CHECK(s.counts.data.value == 2 * block);
  s.check_repaired();
}

TEST_CASE("what stands on a damaged layer is read again where that changes once more") {
  Shadow s;
  test::guest(s.layer(1), "write -P 99 0 512");
  s.repair();
  test::guest(s.layer(1), "write -P 98 64k 512");
  CHECK_THAT(s.repair(), Catch::Contains("point 4 is damaged: vda at byte 65536"));
  CHECK(s.counts.data.value == block);
  s.check_repaired();
}
