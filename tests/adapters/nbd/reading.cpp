// SPDX-License-Identifier: Apache-2.0
// Reading disks and files through serve_file and open_command, with real qemu-nbd.

#include <fcntl.h>

#include <fstream>
#include <vector>

#include "adapters/nbd/export.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using ports::Extent;
using ports::Range;

namespace {

constexpr std::uint64_t block = model::block_size;

std::vector<Extent> extents(ports::BlockSource& source) {
  std::vector<Extent> all;
  source.each_extent([&](const Extent& e) { all.push_back(e); });
  return all;
}

/// As text: "0+2 zero, 2+1 changed": in blocks.
std::string shown(ports::BlockSource& source) {
  std::string text;
  for (const Extent& e : extents(source))
    text += (text.empty() ? "" : ", ") + std::to_string(e.offset / block) + "+" + std::to_string(e.length / block) +
            (e.zero ? " zero" : "") + (e.changed ? " changed" : "");
  return text;
}

}  // namespace

TEST_CASE("extents tell zeroes and data, and data arrive in order whatever is read ahead") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "64M");
  test::guest(image, "write -P 7 1M 40M");
  const auto source = test::open_export({image, "qcow2", {}, {}});
  CHECK(source->size().value == 64u << 20);
  CHECK_FALSE(source->tracks_changes());
  CHECK(shown(*source) == "0+16 zero changed, 16+640 changed, 656+368 zero changed");
  std::vector<Range> ranges;
  for (std::uint64_t at = 1u << 20; at < 41u << 20; at += 256u << 10) ranges.push_back({at, 256u << 10});
  ranges.push_back({60u << 20, 4u << 20});
  std::size_t next = 0;
  source->read(ranges, [&](const Range& range, std::span<const std::byte> data) {
    REQUIRE(range.offset == ranges.at(next).offset);
    REQUIRE(data.size() == ranges[next].length);
    const std::byte expected{static_cast<unsigned char>(range.offset < 41u << 20 ? 7 : 0)};
    REQUIRE(std::all_of(data.begin(), data.end(), [&](std::byte b) { return b == expected; }));
    ++next;
  });
  CHECK(next == ranges.size());
}

TEST_CASE("an exception from the reader's callback leaves without a crash while requests are in flight") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "16M");
  test::guest(image, "write -P 7 0 16M");
  const auto source = test::open_export({image, "qcow2", {}, {}});
  std::vector<Range> ranges;
  for (std::uint64_t at = 0; at < 16u << 20; at += block) ranges.push_back({at, block});
  CHECK_THROWS_AS(
      source->read(ranges, [](const Range&, std::span<const std::byte>) { throw std::runtime_error("stop"); }),
      std::runtime_error);
}

TEST_CASE("a persistent bitmap tells what changed since it was made") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "8M");
  test::guest(image, "write -P 1 0 4M");
  test::must({"qemu-img", "bitmap", "--add", "--enable", image, "b"});
  test::guest(image, "write -P 2 1M 64k");
  test::guest(image, "write -z 2M 128k");
  const auto source = test::open_export({image, "qcow2", "b", {}});
  CHECK(source->tracks_changes());
  CHECK(shown(*source) == "0+16, 16+1 changed, 17+15, 32+2 zero changed, 34+30, 64+64 zero");
}

TEST_CASE("what lies above a file of the chain is changed, the file itself and below are not") {
  const test::Scratch scratch;
  const std::string base = test::make_image(scratch / "base.qcow2", "4M");
  test::guest(base, "write -P 1 0 1M");
  const std::string middle = test::make_overlay(scratch / "middle.qcow2", base);
  test::guest(middle, "write -P 2 128k 64k");
  const std::string top = test::make_overlay(scratch / "top.qcow2", middle);
  test::guest(top, "write -P 3 512k 64k");
  CHECK(shown(*test::open_export({top, "qcow2", {}, base})) == "0+2, 2+1 changed, 3+5, 8+1 changed, 9+7, 16+48 zero");
  CHECK(shown(*test::open_export({top, "qcow2", {}, middle})) == "0+8, 8+1 changed, 9+7, 16+48 zero");
  CHECK(shown(*test::open_export({top, "qcow2", {}, top})) == "0+16, 16+48 zero");
}

TEST_CASE("why changes can't be told reaches the reader with its kind") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "1M");
  const std::string other = test::make_image(scratch / "other.qcow2", "1M");
  const auto no_bitmap = test::error_of([&] { test::open_export({image, "qcow2", "none", {}}); });
  CHECK(no_bitmap.kind() == base::Kind::not_found);
  CHECK_THAT(no_bitmap.what(), Catch::Contains(image + " holds no bitmap none"));
  const auto no_layer = test::error_of([&] { test::open_export({image, "qcow2", {}, other}); });
  CHECK(no_layer.kind() == base::Kind::invalid);
  CHECK_THAT(no_layer.what(), Catch::Contains(other + " is not in the chain of " + image));
}

TEST_CASE("a raw file is read to its last byte") {
  const test::Scratch scratch;
  const fs::path file = scratch / "memory";
  std::ofstream(file) << std::string(3 * block + 100, 'm');
  const auto source = test::open_export({file, "raw", {}, {}});
  CHECK(source->size().value == 3 * block + 100);
  const std::vector<Range> last{{3 * block, 100}};
  std::string read;
  source->read(last, [&](const Range&, std::span<const std::byte> data) {
    read.assign(reinterpret_cast<const char*>(data.data()), data.size());
  });
  CHECK(read == std::string(100, 'm'));
}

TEST_CASE("a file that is not there, and a command that ends, are told with the command") {
  const auto absent = test::error_of([] { test::open_export({"/nonexistent/a.qcow2", "qcow2", {}, {}}); });
  CHECK(absent.kind() == base::Kind::unreachable);
  CHECK_THAT(absent.what(), Catch::Contains("ended with status 1") && Catch::Contains("/nonexistent/a.qcow2"));
  CHECK(test::error_of([] { nbd::open_command({"/nonexistent/command"}, ""); }).kind() == base::Kind::not_found);
  CHECK(test::error_of([] { nbd::open_uri("nbd+unix:///x?socket=/nonexistent/s", ""); }).kind() ==
        base::Kind::unreachable);
}

TEST_CASE("an export ends with its reader, and leaves no process and no file") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "1M");
  const fs::path temporary = scratch / "tmp";
  fs::create_directory(temporary);
  ::setenv("TMPDIR", temporary.c_str(), 1);
  {
    const auto source = test::open_export({image, "qcow2", {}, {}});
    CHECK(source->size().value == 1u << 20);
    CHECK(fs::is_empty(temporary));
  }
  ::unsetenv("TMPDIR");
  // The server held the file; a writer can have it at once.
  const auto writable = [&] { return test::tool({"qemu-io", "-f", "qcow2", "-c", "write 0 64k", image}) == 0; };
  CHECK(base::wait_until(base::system_clock(), base::Millis{5000}, base::Millis{20}, writable));
}

TEST_CASE("an export whose reader was gone before it shook hands ends too, and lets go of the file") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "1M");
  const base::Finished ended = base::run(test::export_command({image, "qcow2", {}, {}}), "", base::Millis{20'000});
  CHECK_FALSE(ended.timed_out);
  CHECK(test::tool({"qemu-io", "-f", "qcow2", "-c", "write 0 64k", image}) == 0);
}

TEST_CASE("a stop that came before an export waits for its reader's bytes ends it") {
  const test::Scratch scratch;
  const std::string image = test::make_image(scratch / "a.qcow2", "1M");
  std::array<int, 2> in{};
  REQUIRE(::pipe(in.data()) == 0);
  const base::UniqueFd silent(in[0]);
  const base::UniqueFd reader(in[1]);
  base::CancelToken cancel;
  cancel.request(SIGTERM);
  const base::UniqueFd out = base::open_file("/dev/null", O_WRONLY);
  CHECK(test::error_of([&] {
          nbd::serve_file({image, "qcow2", {}, {}}, silent.get(), out.get(), cancel);
        }).kind() == base::Kind::cancelled);
}

TEST_CASE("a file that a running QEMU writes above can be served") {
  const test::Scratch scratch;
  const std::string frozen = test::make_image(scratch / "frozen.qcow2", "4M");
  test::guest(frozen, "write -P 9 0 64k");
  const std::string live = test::make_overlay(scratch / "live.qcow2", frozen);
  base::Child qemu = base::spawn({"qemu-system-x86_64", "-M", "none", "-nographic", "-monitor", "stdio", "-serial",
                                  "none", "-drive", "if=none,id=d,format=qcow2,file=" + live},
                                 true, true);
  std::array<std::byte, 4> greeting{};
  base::read_full(qemu.from_child.get(), greeting, "QEMU's monitor");             // it is up, its files are open
  CHECK(test::tool({"qemu-io", "-f", "qcow2", "-c", "write 0 64k", live}) != 0);  // and locked
  CHECK(shown(*test::open_export({frozen, "qcow2", {}, {}})) == "0+1 changed, 1+63 zero changed");
}
