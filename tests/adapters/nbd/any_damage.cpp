// SPDX-License-Identifier: Apache-2.0
// Damage of several parts, and of any file at random.

#include <cstdlib>
#include <random>

#include "damage.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::block;
using test::flip;
using test::keeping_time;
using test::shadow;
using test::vda;
using test::vm;
using Shadow = test::DamagedShadow;

TEST_CASE("memory and one of two disks: what is damaged is told apart, and sent anew as far as it must") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  const model::DiskName vdb("vdb");
  const std::vector<model::Part> parts{{vda, {4 * block}}, {vdb, {4 * block}}, {model::memory_part, {block + 100}}};
  store.create(shadow, vm, parts);
  // Each part's first block holds its number, the second one the pass's.
  const auto pass = [&](unsigned char n) {
    const model::Ground ground = store.examine(shadow);
    model::PointHeader header;
    header.shadow = shadow;
    header.vm = vm;
    header.number = ground.last.next();
    header.parts = parts;
    if (ground.parent) {
      header.parent = ground.parent->number;
      header.parent_root = ground.parent->root;
    }
    std::vector<model::PartManifest> known;
    if (ground.parent) known = ground.found ? ground.found->parts : store.manifest(shadow, header.parent).parts;
    const auto sink = store.begin(header);
    ports::ChangeDigest changes;
    std::uint64_t sent = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto same = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.part == parts[i]; });
      for (std::uint64_t b = 0; b < 2; ++b) {
        const std::vector<std::byte> data(std::min(block, parts[i].size.value - b * block),
                                          std::byte(b == 0 ? i + 1 : n + 10));
        const base::Digest digest = base::sha256(data);
        if (same != known.end() && same->blocks[b] == digest) continue;
        changes.data(i, b, digest);
        sink->data(i, b, digest, data);
        ++sent;
      }
    }
    const model::PointInfo made = sink->commit(changes.finish());
    CHECK(store.verify(shadow, made.number, ports::Verify::whole).sound());
    return sent;
  };
  CHECK(pass(1) == 6);
  CHECK(pass(2) == 3);
  const fs::path dir = scratch / "images/umbra/web1/point-000002";
  SECTION("a bit of the memory") {
    flip(dir / "memory", 5);
    CHECK(store.verify(shadow, {2}, ports::Verify::whole).mismatches.at(0).disk == model::memory_part);
    CHECK(pass(2) == 1);
  }
  SECTION("the memory is gone") {
    fs::remove(dir / "memory");
    CHECK(pass(2) == 2);
  }
  SECTION("a disk is gone, of the newest: the one below is built on") {
    fs::remove(dir / "vdb.qcow2");
    CHECK(pass(2) == 3);
  }
  SECTION("a disk is gone, of all: the other is kept") {
    fs::remove(scratch / "images/umbra/web1/point-000001/vdb.qcow2");
    CHECK(pass(2) == 2);
  }
  CHECK(store.retain(shadow, 1) > 0);
  CHECK(store.points(shadow).size() == 1);
  CHECK(store.verify(shadow, store.points(shadow).back().number, ports::Verify::whole).sound());
  CHECK(pass(3) == 3);
}

namespace {

/// Some file of a point, and something that befalls it; what it was, in words.
std::string befall(Shadow& s, std::mt19937_64& random) {
  const auto below = [&](std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(0, most - 1)(random);
  };
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(s.images / "umbra/web1")) {
    if (entry.is_regular_file() && entry.path().parent_path().filename().string().starts_with("point-"))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  const fs::path file = files.at(below(files.size()));
  const std::uint64_t length = fs::file_size(file);
  const std::uint64_t at = below(length);
  const std::string where = fmt::format("{} of {} bytes, at {}", file.string(), length, at);
  const auto write = [&](const std::vector<char>& bytes) {
    const base::UniqueFd fd = base::open_file(file, O_WRONLY);
    REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) > 0);
  };
  switch (below(6)) {
    case 0:
      fs::remove(file);
      return "removed " + where;
    case 1:
      fs::resize_file(file, at);
      return "cut " + where;
    case 2:
      keeping_time(file, [&] { write(std::vector<char>(std::min<std::uint64_t>(512, length - at), 0)); });
      return "zeroed " + where;
    case 3:
      write(std::vector<char>(std::min<std::uint64_t>(4096, length - at), static_cast<char>(below(256))));
      return "overwrote " + where;
    default:
      flip(file, at);
      return "flipped " + where;
  }
}

}  // namespace

TEST_CASE("whatever befalls a file of a point, what is called sound is, and two passes make all good") {
  const char* first = std::getenv("UMBRA_FIRST_SEED");
  const char* count = std::getenv("UMBRA_SEEDS");
  const int from = first != nullptr ? std::stoi(first) : 1;
  const int seed = GENERATE_COPY(range(from, from + (count != nullptr ? std::stoi(count) : 12)));
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));  // NOLINT: the same every time
  Shadow s;
  std::vector<fs::path> expected;
  for (const int n : {1, 2, 3}) {
    expected.push_back(s.scratch / fmt::format("at-{}.qcow2", n));
    test::must({"qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", s.layer(n).string(), expected.back().string()});
  }
  std::string what;
  for (int faults = seed % 3 == 0 ? 2 : 1; faults > 0; --faults) what += befall(s, random) + "; ";
  INFO("seed " << seed << ": " << what);
  for (const auto& point : s.store.points(shadow)) {
    if (!s.store.verify(shadow, point.number, ports::Verify::whole).sound()) continue;
    CHECK(test::same_contents(expected.at(point.number.value - 1), point.layers.at(0)));
  }
  s.guest("write -P 7 3M 128k");
  try {
    s.repair();
  } catch (const base::Error& e) {
    INFO(e.what());
    CHECK(e.kind() == base::Kind::corrupt);
    s.repair();
  }
  s.check_repaired();
  s.check_goes_on();
}
