// SPDX-License-Identifier: Apache-2.0
// Damage of what lies on the shadow's host: recognised, named, and repaired by the next pass, which sends only what
// differs. Real files, damaged in place as a disk would: their times stay.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <random>

#include "adapters/nbd/damage.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "images.hpp"
#include "ports/delta.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::shadow;
using test::vda;
using test::vm;

namespace {

constexpr std::uint64_t block = model::block_size;
constexpr std::uint64_t size = 4u << 20;

void keeping_time(const fs::path& file, const std::function<void()>& act) {
  const auto time = fs::last_write_time(file);
  act();
  fs::last_write_time(file, time);
}

/// One bit of the file, as a disk loses it.
void flip(const fs::path& file, std::uint64_t offset) {
  keeping_time(file, [&] {
    const base::UniqueFd fd = base::open_file(file, O_RDWR);
    char byte = 0;
    REQUIRE(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
    byte = static_cast<char>(byte ^ 0x10);
    REQUIRE(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
  });
}

/// The offset in the file at which the image's `offset` lies.
std::uint64_t place_of(const fs::path& layer, std::uint64_t offset) {
  const auto map = base::run({"qemu-img", "map", "-U", "-f", "qcow2", "--output=json", "--start-offset",
                              std::to_string(offset), "--max-length", "512", layer.string()},
                             "", base::Millis{60'000});
  const std::string name = "\"offset\": ";
  const std::size_t at = map.out.find(name);
  REQUIRE(at != std::string::npos);
  return std::stoull(map.out.substr(at + name.size()));
}

/// Three points of a disk whose blocks 0 to 15 hold 1; point 2 wrote block 20 with 2, point 3 block 40 with 3.
struct Shadow {
  test::Scratch scratch;
  fs::path images = scratch / "images";
  nbd::LocalPoints store{images};
  std::string source = test::make_image(scratch / "source.qcow2", "4M");
  Shadow() {
    test::make_shadow(store, size);
    guest("write -P 1 0 1M");
    REQUIRE(repair() == "the shadow has no point yet");
    guest("write -P 2 1280k 64k");
    repair();
    guest("write -P 3 2560k 64k");
    repair();
    REQUIRE(store.points(shadow).size() == 3);
  }
  void guest(const std::string& command) const { test::guest(source, command); }
  fs::path dir(int n) const { return images / "umbra/web1" / ("point-00000" + std::to_string(n)); }
  fs::path layer(int n) const { return dir(n) / "vda.qcow2"; }

  /// A pass as replication does it for a VM that is off; why it was not the cheapest.
  std::string repair() {
    const model::Ground ground = store.examine(shadow);
    model::PointHeader header;
    header.shadow = shadow;
    header.vm = vm;
    header.taken_at = base::Instant(std::chrono::seconds(1'700'000'000));
    std::vector<ports::PartSource> parts;
    parts.push_back({vda, test::open_export({source, "qcow2", {}, {}}), ports::Look::all});
    model::Disk disk;
    disk.name = vda;
    const ports::Choice choice = ports::choose_method(ground, {}, {disk});
    struct NoHosts : ports::Hypervisors {
      ports::Hypervisor& at(const model::HostName&) override { throw base::Error(base::Kind::internal, "none"); }
      std::vector<model::HostName> names() const override { return {}; }
    } hosts;
    struct NoTransport : ports::Transport {
      std::unique_ptr<ports::PointStore> connect(const model::HostName&) override { return nullptr; }
      std::unique_ptr<ports::BlockSource> open(const ports::NbdExport&) override { return nullptr; }
      std::unique_ptr<ports::BlockSource> open(const model::HostName&, const ports::FileExport&) override {
        return nullptr;
      }
    } transport;
    const base::CancelToken cancel;
    const ports::Context context{hosts, transport, base::system_clock(), cancel};
    const ports::SentPoint sent =
        ports::send_point(context, store, ground, std::move(header), std::move(parts), {}, {});
    counts = sent.counts;
    newest = sent.info.number;
    ports::require_equal(store, shadow, vm, newest);
    return choice.why;
  }
  /// The newest point is what the source is, read from its files, and sound.
  void check_repaired() {
    CHECK(store.points(shadow).back().number == newest);
    CHECK(store.points(shadow).back().sound());
    CHECK(test::same_contents(source, test::newest_layer(store)));
    CHECK(store.verify(shadow, newest, ports::Verify::whole).sound());
  }
  /// Passes and merges go on, down to one point, and every point that is called sound is.
  void check_goes_on() {
    for (const unsigned keep : {3u, 2u, 1u}) {
      store.retain(shadow, keep);
      const auto points = store.points(shadow);
      CHECK(points.size() <= keep);
      for (const auto& point : points) {
        if (point.sound()) CHECK(store.verify(shadow, point.number, ports::Verify::whole).sound());
      }
      CHECK(points.back().sound());
      CHECK(test::same_contents(source, test::newest_layer(store)));
    }
    guest("write -P 9 3M 64k");
    repair();
    CHECK(counts.data.value == block);
    check_repaired();
  }

  ports::CopyCounts counts;
  model::PointNumber newest;
};

}  // namespace

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

TEST_CASE("a layer that was written to with its time is found without being asked, and repaired") {
  const int n = GENERATE(1, 3);
  Shadow s;
  test::guest(s.layer(n), "write -P 99 128k 512");
  CHECK_THAT(s.repair(), Catch::Contains("vda at byte 131072") && Catch::Contains(s.layer(n).string()));
  CHECK(s.counts.data.value == block);
  s.check_repaired();
  s.check_goes_on();
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
    CHECK_THAT(s.repair(), Catch::Contains("point 3 is damaged: vda at byte 0") && Catch::Contains("point-000002"));
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
    flip(s.dir(n) / "point.json", at);
    if (n == 3) sent = block;  // what the point wrote is not known any more: the one below is built on
  }
  const auto report = s.store.verify(shadow, {std::uint64_t(n)}, ports::Verify::whole);
  REQUIRE_FALSE(report.sound());
  CHECK_THAT(report.mismatches[0].what, Catch::Contains(told));
  const std::string why = s.repair();
  if (n == 3) CHECK_THAT(why, Catch::Contains(told) && Catch::Contains("point 3"));
  CHECK(s.counts.data.value == sent);
  s.check_repaired();
  s.check_goes_on();
}

TEST_CASE("a shadow whose points are all gone gets a full pass that says so") {
  Shadow s;
  for (const int n : {1, 2, 3}) fs::remove_all(s.dir(n));
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
