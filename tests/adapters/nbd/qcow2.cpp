// SPDX-License-Identifier: Apache-2.0
// What this process makes of a qcow2's metadata, beside what QEMU makes of them.
#include <fcntl.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>

#include "adapters/nbd/block_reader.hpp"
#include "adapters/nbd/cluster_map.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t block = model::block_size;

nlohmann::json told_by_qemu(const fs::path& file) {
  const auto result = base::run({"qemu-img", "info", "--output=json", file.string()}, "", base::Millis{20'000});
  REQUIRE(result.status == 0);
  return nlohmann::json::parse(result.out);
}

/// As text, a line for each block: where it lies; below `until` whether it is changed, too. (What a shorter file of the
/// chain makes zero is that file's here, where QEMU tells it as nobody's.)
std::string shown(nbd::ClusterMap& map, std::uint64_t until) {
  std::string text;
  for (std::uint64_t at = 0; at < map.size().value; at += 512) {
    if (at % block != 0 && at + 512 < map.size().value) continue;
    const nbd::Stretch s = map.at(at);
    RC_ASSERT((s.offset <= at && at < s.end() && s.end() <= map.size().value));
    text += std::to_string(at) + (s.zero ? " zero" : " data");
    if (!s.zero && s.changed)  // what is not asked for need not be to be found
      text += " of " + map.file(s.file).filename().string() + " at " + std::to_string(s.place + at - s.offset);
    text += at < until && s.changed ? " changed\n" : "\n";
  }
  return text;
}

/// One of the things that a guest does to its disk.
std::string any_write(std::uint64_t blocks) {
  const auto first = *rc::gen::inRange<std::uint64_t>(0, blocks);
  const auto count = *rc::gen::inRange<std::uint64_t>(1, std::min<std::uint64_t>(blocks - first, 20) + 1);
  const auto what = *rc::gen::element<std::string>("write -P 3", "write -P 4", "write -z", "write -z -u", "discard");
  return what + " " + std::to_string(first * block) + " " + std::to_string(count * block);
}

std::vector<base::Digest> digests_of(const fs::path& file, std::uint64_t size) {
  nbd::BlockReader reader(file, {model::DiskName("vda"), {size}}, nbd::all_of_it, nullptr);
  std::vector<base::Digest> found(size / block);
  reader.read(
      reader.looks(), [&](std::uint64_t at, const base::Digest& digest) { found.at(at) = digest; },
      [](std::uint64_t, std::uint64_t) {});
  return found;
}

void flip(const fs::path& file, std::uint64_t at, unsigned char bits) {
  const base::UniqueFd fd = base::open_file(file, O_RDWR);
  std::byte byte{};
  REQUIRE(base::read_at(fd.get(), at, std::span(&byte, 1), file.native()) == 1);
  byte ^= std::byte{bits};
  base::write_at(fd.get(), at, std::span(&byte, 1), file.native());
}

}  // namespace

TEST_CASE("a layer that is made here is for QEMU as if qemu-img had made it") {
  const test::Scratch scratch;
  const fs::path below = test::make_image(scratch / "below.qcow2", "700M");
  for (const std::uint64_t size : {std::uint64_t{512}, 512 * block + 512, 8192 * block, std::uint64_t{16} << 40}) {
    for (const bool over : {false, true}) {
      const fs::path file = scratch / "made.qcow2";
      nbd::qcow2::create(file, {size}, over ? std::optional<std::string>("./below.qcow2") : std::nullopt);
      CHECK(test::tool({"qemu-img", "check", "-q", file.string()}) == 0);
      const nlohmann::json info = told_by_qemu(file);
      CHECK(info["format"] == "qcow2");
      CHECK(info["virtual-size"] == size);
      CHECK(info.value("backing-filename", "") == (over ? "./below.qcow2" : ""));
      CHECK(info.value("backing-filename-format", "") == (over ? "qcow2" : ""));
      CHECK(info["format-specific"]["data"]["compat"] == "1.1");
      const auto seen = nbd::qcow2::plain_file(file);
      REQUIRE(seen.has_value());
      CHECK(seen->header.size.value == size);
      CHECK(*nbd::qcow2::backing_of(*seen) == (over ? below : fs::path()));
    }
  }
}

TEST_CASE("the tables of a chain say what QEMU says, whatever was written, and however long each file is") {
  const test::Scratch scratch;
  CHECK(rc::check([&] {
    const auto files = *rc::gen::inRange<unsigned>(1, 4);
    fs::path top;
    std::uint64_t least = ~0ull;
    for (unsigned n = 0; n < files; ++n) {
      const std::uint64_t blocks = *rc::gen::weightedElement<std::uint64_t>({{8, 40}, {4, 70}, {1, 8300}});
      const std::uint64_t size = blocks * block - *rc::gen::element<std::uint64_t>(0, 0, 512, 65024);
      const fs::path file = scratch / ("f" + std::to_string(n) + ".qcow2");
      least = std::min(least, size);
      nbd::qcow2::create(file, {size}, n > 0 ? std::optional(top.filename().string()) : std::nullopt);
      for (const auto& write : *rc::gen::container<std::vector<int>>(*rc::gen::inRange(0, 4), rc::gen::just(0))) {
        (void)write;
        test::guest(file, any_write(std::min<std::uint64_t>(blocks - 1, 60)));
      }
      if (blocks > 8200) test::guest(file, "write -P 5 " + std::to_string(8190 * block) + " 256k");
      top = file;
    }
    for (std::uint32_t depth = 0; depth <= files; ++depth) {
      const auto told = nbd::map_told_by_qemu(top, depth);
      const auto seen = nbd::map_of_plain_chain(top, depth);
      RC_ASSERT((told != nullptr && seen != nullptr));
      RC_ASSERT(shown(*seen, least) == shown(*told, least));
    }
  }));
}

TEST_CASE("what is not plain is left to QEMU, and reads the same") {
  const test::Scratch scratch;
  constexpr std::uint64_t size = 16u << 20;
  const fs::path raw = scratch / "a.raw";
  test::must({"qemu-img", "create", "-q", "-f", "raw", raw.string(), std::to_string(size)});
  test::must({"qemu-io", "-f", "raw", "-c", "write -P 7 1M 3M", raw.string()});
  const std::vector<base::Digest> expected = [&] {
    const fs::path plain = scratch / "plain.qcow2";
    test::must({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw.string(), plain.string()});
    REQUIRE(nbd::map_of_plain_chain(plain, 0) != nullptr);
    return digests_of(plain, size);
  }();
  REQUIRE(expected[16] != base::Digest{});
  const auto converted = [&](const std::string& options) {
    const fs::path file = scratch / "other.qcow2";
    test::must({"sh", "-c", "qemu-img convert -f raw -O qcow2 " + options + " " + raw.string() + " " + file.string()});
    return file;
  };
  for (const std::string options : {"-o compat=0.10", "-o cluster_size=4k", "-o extended_l2=on", "-o refcount_bits=1",
                                    "-o compression_type=zstd"}) {
    INFO(options);
    const fs::path file = converted(options);
    CHECK_FALSE(nbd::qcow2::plain_file(file).has_value());
    CHECK(nbd::qemu_img::info(file).size.value == size);
    CHECK(digests_of(file, size) == expected);
  }
  const fs::path packed = converted("-c");
  CHECK(digests_of(packed, size) == expected);
  const fs::path tracked = converted("");
  test::must({"qemu-img", "bitmap", "--add", tracked.string(), "b"});
  CHECK(nbd::qemu_img::info(tracked).bitmaps.size() == 1);
  const fs::path over = scratch / "over.qcow2";
  test::must({"qemu-img", "create", "-q", "-f", "qcow2", "-b", raw.string(), "-F", "raw", over.string()});
  CHECK(nbd::map_of_plain_chain(over, 0) == nullptr);
  CHECK(digests_of(over, size) == expected);
  CHECK(nbd::qemu_img::chain(over).back().format == "raw");
}

TEST_CASE("a damaged table is told by QEMU: what it reads is what is read") {
  const test::Scratch scratch;
  constexpr std::uint64_t size = 16u << 20;
  const fs::path file = test::make_image(scratch / "a.qcow2", "16M");
  test::guest(file, "write -P 7 0 1M");
  const std::vector<base::Digest> before = digests_of(file, size);
  const auto map = nbd::map_of_plain_chain(file, 0);
  const std::uint64_t data = map->at(0).place;
  const std::uint64_t table = data - block;  // as QEMU places it: the second-level table, then the first data
  flip(file, table + 7, 0x04);               // a bit that means nothing
  CHECK(digests_of(file, size) == before);
  flip(file, table + 8 + 6, 0x02);  // the second block's place: no cluster's any more
  const std::vector<base::Digest> found = digests_of(file, size);
  CHECK(found[0] == before[0]);
  CHECK(found[1] == model::unreadable_block);
  CHECK(found[2] == before[2]);
  flip(file, nbd::qcow2::first_level_at + 6, 0x02);
  CHECK(digests_of(file, size)[0] == model::unreadable_block);
}

TEST_CASE("a file that another process may write to is not read past it") {
  const test::Scratch scratch;
  const fs::path file = test::make_image(scratch / "a.qcow2", "16M");
  nbd::Connection connection;
  nbd::QemuNbd reading({.path = file, .format = "qcow2"});
  reading.connect(connection);
  CHECK(nbd::qemu_img::in_use(file));
  CHECK(nbd::map_of_plain_chain(file, 0) != nullptr);
  connection.shut_down();
  reading.finish();
  nbd::Connection another;
  nbd::QemuNbd writing({.path = file, .format = "qcow2", .read_only = false});
  writing.connect(another);
  CHECK(nbd::map_of_plain_chain(file, 0) == nullptr);
  another.shut_down();
  writing.finish();
}
