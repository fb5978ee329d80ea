// SPDX-License-Identifier: Apache-2.0
// Points on this host: written, crashed, verified, with real qemu-img and qemu-nbd.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <fstream>
#include <random>

#include "adapters/nbd/verify.hpp"
#include "fakes/lesser_kernel.hpp"
#include "one_point.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::cut_pass;
using test::OnePoint;
using test::shadow;
using test::vda;
using test::vm;

namespace {

using test::block;
constexpr std::uint64_t size = test::one_point_size;

std::vector<std::byte> filled(unsigned char value, std::size_t length = block) {
  return std::vector<std::byte>(length, std::byte{value});
}

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("a full point and increments by bitmap equal the source, each at its time") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  const std::string source = test::make_image(scratch / "source.qcow2", "8M");
  test::guest(source, "write -P 1 0 3M");
  test::must({"qemu-img", "bitmap", "--add", "--enable", source, "b"});
  ports::CopyCounts counts;
  test::pass(store, {source, "qcow2", {}, {}}, &counts);
  CHECK(counts.data.value == 3u << 20);
  CHECK(test::same_contents(source, test::newest_layer(store)));
  fs::copy(source, scratch / "at-1.qcow2");

  test::guest(source, "write -P 2 1M 128k");
  test::guest(source, "write -z 2M 256k");
  test::guest(source, "write -P 3 7M 64k");
  test::pass(store, {source, "qcow2", "b", {}}, &counts);
  CHECK(counts.data.value == 3 * block);
  CHECK(counts.zero.value == 4 * block);
  const auto points = store.points(shadow);
  REQUIRE(points.size() == 2);
  CHECK(test::same_contents(source, points[1].layers[0]));
  CHECK(test::same_contents(scratch / "at-1.qcow2", points[0].layers[0]));
  CHECK(points[1].root == model::root_of(store.manifest(shadow, {2})));
  CHECK(points[1].bytes.value < 1u << 20);  // three blocks and qcow2's own, zeroes take no room
  CHECK(store.verify(shadow, {2}, ports::Verify::whole).sound());
  CHECK(store.verify(shadow, {1}, ports::Verify::unread).blocks_read == (3u << 20) / block);
  CHECK(store.verify(shadow, {2}, ports::Verify::unread).blocks_read == 7);
  CHECK(store.verify(shadow, {2}, ports::Verify::unread).blocks_read == 0);
}

TEST_CASE("a sink that is let go, or a process that is killed, leaves the last point and nothing else") {
  OnePoint one;
  model::PointHeader header = test::next_header(one.store);
  header.parts = {{vda, {size}}};
  const auto data = filled(5);
  {
    const auto sink = one.store.begin(header);
    sink->data(0, 9, base::sha256(data), data);
    CHECK(test::error_of([&] { one.store.begin(header); }).kind() == base::Kind::busy);
  }
  CHECK(names_in(one.scratch / "images/umbra/web1") ==
        std::vector<std::string>{"descriptions", "empty", "point-000001", "shadow.json"});

  std::array<int, 2> told{};
  REQUIRE(::pipe(told.data()) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto sink = one.store.begin(header);
    for (std::uint64_t b = 0; b < 64; ++b) sink->data(0, b, base::sha256(data), data);
    [[maybe_unused]] const ssize_t n = ::write(told[1], "x", 1);
    for (;;) ::pause();
  }
  std::array<std::byte, 1> byte{};
  REQUIRE(base::read_full(told[0], byte, "a pipe") == 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  REQUIRE(one.store.points(shadow).size() == 1);
  CHECK(test::same_contents(one.source, test::newest_layer(one.store)));
  CHECK(names_in(one.scratch / "images/umbra/web1").size() == 5);  // what it left ...
  header.number = {5};
  one.store.begin(header);
  CHECK(names_in(one.scratch / "images/umbra/web1").size() == 4);  // ... is gone with the next, whatever its number
}

TEST_CASE("what does not fit its place or its order is refused, and no point comes of it") {
  OnePoint one;
  model::PointHeader header = test::next_header(one.store);
  header.parts = {{vda, {size}}};
  const auto data = filled(5);
  const base::Digest digest = base::sha256(data);
  const auto kind = [&](const std::function<void(ports::BlockSink&)>& act) {
    const auto sink = one.store.begin(header);
    const base::Kind k = test::error_of([&] { act(*sink); }).kind();
    CHECK_THROWS(sink->commit(ports::ChangeDigest{}.finish()));
    return k;
  };
  CHECK(kind([&](auto& s) { s.data(1, 0, digest, data); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.data(0, size / block, digest, data); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.zero(0, 1, UINT64_MAX); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.data(0, 0, digest, std::span(data).first(10)); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.zero(0, 4, 2), s.data(0, 5, digest, data); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.data(0, 0, base::sha256(filled(0)), filled(0)); }) == base::Kind::invalid);
  CHECK(kind([&](auto& s) { s.data(0, 0, digest, data), s.commit(ports::ChangeDigest{}.finish()); }) ==
        base::Kind::corrupt);
  CHECK(one.store.points(shadow).size() == 1);
}

TEST_CASE("a header that does not follow the newest point is refused") {
  OnePoint one;
  const auto kind = [&](const std::function<void(model::PointHeader&)>& change) {
    model::PointHeader header = test::next_header(one.store);
    header.parts = {{vda, {size}}};
    change(header);
    return test::error_of([&] { one.store.begin(header); }).kind();
  };
  CHECK(kind([](auto& h) { h.number = {1}; }) == base::Kind::refused);
  CHECK(kind([](auto& h) { h.parent = {7}; }) == base::Kind::refused);
  CHECK(kind([](auto& h) { h.parent_root = {}; }) == base::Kind::refused);
  CHECK(kind([](auto& h) { h.vm = model::VmName("other"); }) == base::Kind::refused);
  CHECK(kind([](auto& h) { h.shadow = model::ShadowId("none"); }) == base::Kind::not_found);
  CHECK(kind([](auto& h) { h.shadow = model::ShadowId("../web1"); }) == base::Kind::invalid);
  CHECK(kind([](auto& h) { h.parts = {}; }) == base::Kind::invalid);
  CHECK(kind([](auto& h) { h.parts[0].name = model::DiskName(".."); }) == base::Kind::invalid);
  CHECK(kind([](auto& h) { h.parts[0].size = {1ull << 60}; }) == base::Kind::invalid);
  CHECK(kind([](auto& h) { h.parts[0].size = {1000}; }) == base::Kind::invalid);
}

TEST_CASE("a damaged layer is found with its disk and offset") {
  OnePoint one;
  test::guest(test::newest_layer(one.store), "write -P 99 128k 512");
  const auto report = one.store.verify(shadow, {1}, ports::Verify::whole);
  REQUIRE(report.mismatches.size() == 1);
  CHECK(report.mismatches[0].disk == vda);
  CHECK(report.mismatches[0].offset == 2 * block);
  CHECK_FALSE(one.store.verify(shadow, {1}, ports::Verify::unread).sound());
}

TEST_CASE("a layer that is damaged and was not read back is found from each point above it, again and again") {
  OnePoint one;
  const std::string layer = test::newest_layer(one.store);
  const auto time = fs::last_write_time(layer);
  test::guest(layer, "write -P 99 128k 512");
  fs::last_write_time(layer, time);  // as where the storage itself changes it: the stamp is the same
  test::guest(one.source, "write -P 2 1M 64k");
  test::pass(one.store, {one.source, "qcow2", {}, {}});
  for (int again = 0; again < 2; ++again) {
    const auto report = one.store.verify(shadow, {2}, ports::Verify::unread);
    REQUIRE(report.mismatches.size() == 1);
    CHECK(report.mismatches[0].offset == 2 * block);
  }
}

TEST_CASE("an older point is not given up for one that differs from its manifest") {
  OnePoint one;
  test::guest(one.source, "write -P 2 1M 64k");
  test::pass(one.store, {one.source, "qcow2", {}, {}});
  const std::string layer = test::newest_layer(one.store);
  const auto time = fs::last_write_time(layer);
  test::guest(layer, "write -P 99 1M 512");
  fs::last_write_time(layer, time);
  CHECK(test::error_of([&] { one.store.retain(shadow, 1); }).kind() == base::Kind::corrupt);
  CHECK(one.store.points(shadow).size() == 2);
  CHECK(one.store.verify(shadow, {1}, ports::Verify::whole).sound());
}

TEST_CASE("a merged file is compared with what the files above it hold") {
  OnePoint one;
  test::guest(one.source, "write -P 2 64k 64k");
  test::pass(one.store, {one.source, "qcow2", {}, {}});
  const auto points = one.store.points(shadow);
  const model::PartManifest expected = one.store.manifest(shadow, {2}).parts.at(0);
  const std::string lower = points[0].layers[0];
  const std::string upper = points[1].layers[0];
  CHECK(nbd::verify_merged(expected, upper, 1, lower, nullptr).mismatches.size() == 1);  // nothing is merged yet
  test::must({"qemu-img", "commit", "-q", "-d", upper});
  const auto merged = nbd::verify_merged(expected, upper, 1, lower, nullptr);
  CHECK(merged.sound());
  CHECK(merged.blocks_read == 1);
  test::guest(lower, "write -P 99 64k 512");
  CHECK(nbd::verify_merged(expected, upper, 1, lower, nullptr).mismatches.at(0).offset == block);
}

TEST_CASE("a merge reads the point that it keeps, and what was read back counts as read after it") {
  OnePoint one;
  test::guest(one.source, "write -P 2 1M 64k");
  test::pass(one.store, {one.source, "qcow2", {}, {}});
  SECTION("both were read") {
    CHECK(one.store.verify(shadow, {2}, ports::Verify::unread).sound());
    CHECK(one.store.retain(shadow, 1) == 1);
    CHECK(one.store.verify(shadow, {2}, ports::Verify::unread).blocks_read == 0);
  }
  SECTION("neither") {
    CHECK(one.store.retain(shadow, 1) == 1);
    CHECK(one.store.verify(shadow, {2}, ports::Verify::unread).blocks_read == 0);
  }
  CHECK(one.store.verify(shadow, {2}, ports::Verify::whole).sound());
}

TEST_CASE("memory begins as the parent's, may change its size, and is a plain file") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  std::string image;
  std::mt19937 random(1);  // NOLINT: the same numbers every time are wanted
  for (const std::size_t length : {5 * block + 100, 5 * block + 300, 3 * block + 7, 9 * block}) {
    const std::string before = image;
    image.resize(length, '\0');
    for (std::size_t i = 2 * block; i < 2 * block + 50; ++i) image[i] = static_cast<char>(random());
    if (length == 5 * block + 100) image[5 * block + 3] = 'x';  // in the last, short block
    model::PointHeader header = test::next_header(store);
    header.parts = {{model::memory_part, {length}}};
    header.activity = "{\"processes\":3}";
    const auto sink = store.begin(header);
    ports::ChangeDigest changes;
    // The boundary block is not told when it holds the same bytes and zeroes alone were added or cut.
    const auto bytes = std::as_bytes(std::span(image)).subspan(2 * block, block);
    if (before.empty()) {
      const auto last = std::as_bytes(std::span(image)).subspan(5 * block);
      changes.data(0, 2, base::sha256(bytes)), sink->data(0, 2, base::sha256(bytes), bytes);
      changes.data(0, 5, base::sha256(last)), sink->data(0, 5, base::sha256(last), last);
    } else {
      changes.data(0, 2, base::sha256(bytes)), sink->data(0, 2, base::sha256(bytes), bytes);
    }
    const auto info = sink->commit(changes.finish());
    CHECK(info.memory_file() == std::optional(info.layers.at(0)));
    CHECK(base::read_text_file(info.layers[0]) == image);
    CHECK(store.activity(shadow, info.number) == header.activity);
    CHECK(store.verify(shadow, info.number, ports::Verify::whole).sound());
  }
}

TEST_CASE("a full file system is told as such, and leaves the last point") {
  const test::Scratch scratch;
  const fs::path small = scratch / "small";
  fs::create_directory(small);
  if (::mount("none", small.c_str(), "tmpfs", 0, "size=8m") != 0) {
    std::cerr << "skipped: mounting a tmpfs needs root\n";
    std::exit(77);
  }
  struct Unmount {
    fs::path path;
    ~Unmount() { ::umount(path.c_str()); }
  } const unmount{small};
  nbd::LocalPoints store(small);
  test::make_shadow(store, 32u << 20);
  const std::string source = test::make_image(scratch / "source.qcow2", "32M");
  test::guest(source, "write -P 1 0 1M");
  test::pass(store, {source, "qcow2", {}, {}});
  test::guest(source, "write -P 2 8M 16M");
  CHECK(test::error_of([&] { test::pass(store, {source, "qcow2", {}, {}}); }).kind() == base::Kind::no_space);
  CHECK(names_in(small / "umbra/web1") ==
        std::vector<std::string>{"descriptions", "empty", "point-000001", "shadow.json"});
  CHECK(store.verify(shadow, {1}, ports::Verify::whole).sound());
  CHECK(store.free_space().value > 4u << 20);
}

TEST_CASE("a disk that grew within a block keeps its contents") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  const std::string source = test::make_image(scratch / "source.qcow2", std::to_string(3 * block + 512));
  test::make_shadow(store, 3 * block + 512);
  test::guest(source, "write -P 4 0 " + std::to_string(3 * block + 512));
  test::pass(store, {source, "qcow2", {}, {}});
  test::must({"qemu-img", "bitmap", "--add", "--enable", source, "b"});
  test::must({"qemu-img", "resize", "-q", source, std::to_string(6 * block)});
  test::guest(source, "write -P 5 0 64k");
  test::pass(store, {source, "qcow2", {}, {}});
  CHECK(test::same_contents(source, test::newest_layer(store)));
  CHECK(store.verify(shadow, {2}, ports::Verify::whole).sound());
}

TEST_CASE("a pass goes on from what a cut one left, whatever was written to the disk meanwhile") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  const std::string source = test::make_image(scratch / "source.qcow2", "8M");
  const bool has_parent = GENERATE(false, true);
  if (has_parent) {
    test::guest(source, "write -P 9 2M 128k");
    test::pass(store, {source, "qcow2", {}, {}});
  }
  test::guest(source, "write -P 1 0 2M");  // 32 blocks
  cut_pass(store, {source, "qcow2", {}, {}}, 20);
  CHECK(store.points(shadow).size() == (has_parent ? 1 : 0));
  test::guest(source, "write -P 2 64k 64k");  // one that was sent is another by now
  test::guest(source, "write -z 128k 128k");  // two are zero
  if (has_parent) test::guest(source, "write -P 9 2M 128k");

  ports::CopyCounts counts;
  const model::PointInfo point = test::pass(store, {source, "qcow2", {}, {}}, &counts, true);
  CHECK(counts.resumed.value == 17 * block);
  CHECK(counts.data.value == 13 * block);
  CHECK(counts.zero.value == 2 * block);
  CHECK(test::same_contents(source, point.layers.at(0)));
  CHECK(store.verify(shadow, point.number, ports::Verify::whole).sound());
  CHECK(names_in(fs::path(point.layers.at(0)).parent_path()) ==
        std::vector<std::string>{"point.json", "vda.digests", "vda.qcow2"});
}

TEST_CASE("what a cut pass wrote and the source no longer has is put back, also where no change is told") {
  OnePoint one;
  test::must({"qemu-img", "bitmap", "--add", "--enable", one.source, "b"});
  test::guest(one.source, "write -P 5 0 256k");
  cut_pass(one.store, {one.source, "qcow2", {}, {}}, 4);
  test::guest(one.source, "write -P 1 0 256k");  // as point 1 has it
  test::must({"qemu-img", "bitmap", "--clear", one.source, "b"});
  const model::PointInfo point = test::pass(one.store, {one.source, "qcow2", "b", {}}, nullptr, true);
  CHECK(test::same_contents(one.source, point.layers.at(0)));
  CHECK(one.store.verify(shadow, point.number, ports::Verify::whole).sound());
}

TEST_CASE("what a cut pass left is not built on where it is no sound layer over the newest point") {
  OnePoint one;
  test::guest(one.source, "write -P 5 0 256k");
  cut_pass(one.store, {one.source, "qcow2", {}, {}}, 3);
  const fs::path layer = one.scratch / "images/umbra/web1/incoming-000002/vda.qcow2";
  REQUIRE(fs::exists(layer));
  const std::string how = GENERATE("truncated", "of another size", "over another file", "no image");
  if (how == "truncated") fs::resize_file(layer, fs::file_size(layer) / 2);
  if (how == "of another size") test::must({"qemu-img", "resize", "-q", layer, "16M"});
  if (how == "over another file") test::must({"qemu-img", "rebase", "-q", "-u", "-b", "", layer});
  if (how == "no image") std::ofstream(layer) << "nothing";
  ports::CopyCounts counts;
  const model::PointInfo point = test::pass(one.store, {one.source, "qcow2", {}, {}}, &counts, true);
  CHECK(counts.resumed.value == 0);
  CHECK(test::same_contents(one.source, point.layers.at(0)));
  CHECK(one.store.verify(shadow, point.number, ports::Verify::whole).sound());
}

TEST_CASE("a pass that was cut while it committed is gone on with") {
  OnePoint one;
  test::guest(one.source, "write -P 5 0 256k");
  cut_pass(one.store, {one.source, "qcow2", {}, {}}, 4);
  const fs::path incoming = one.scratch / "images/umbra/web1/incoming-000002";
  std::ofstream(incoming / "vda.digests") << "half";
  std::ofstream(incoming / "point.json") << "{";
  ports::CopyCounts counts;
  const model::PointInfo point = test::pass(one.store, {one.source, "qcow2", {}, {}}, &counts, true);
  CHECK(counts.resumed.value == 4 * block);
  CHECK(one.store.verify(shadow, point.number, ports::Verify::whole).sound());
}

TEST_CASE("verification reads all where the kernel has no reads past its cache to give, or they fail") {
  const test::Scratch scratch;
  constexpr std::uint64_t large = 40u << 20;  // more than is read one by one
  const std::string source = test::make_image(scratch / "source.qcow2", "40M");
  for (const char* write : {"write -P 3 0 20M", "write -P 4 20M 12M"}) test::guest(source, write);
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, large);
  test::pass(store, {source, "qcow2", {}, {}});
  const std::pair<int, int> failing = GENERATE(std::pair(0, 0), std::pair(SYS_io_setup, ENOSYS),
                                               std::pair(SYS_io_submit, EINVAL), std::pair(SYS_io_submit, EIO));
  CAPTURE(failing.first, failing.second);
  CHECK(test::status_in_a_process([&] {
          if (failing.first != 0) test::do_without(failing.first, failing.second);
          const model::VerifyReport report = store.verify(test::shadow, {1}, ports::Verify::whole);
          return report.sound() && report.blocks_read == large / test::block ? 0 : 1;
        }) == 0);
}
