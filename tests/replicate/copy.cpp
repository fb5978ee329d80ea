// SPDX-License-Identifier: Apache-2.0
#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "fakes/memory_lab.hpp"
#include "ports/copy.hpp"
#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

/// Writes down what it is told.
class RecordingSink : public ports::BlockSink {
 public:
  void data(std::size_t, std::uint64_t b, const base::Digest& digest, std::span<const std::byte> bytes) override {
    CHECK(base::sha256(bytes) == digest);
    told.push_back("D" + std::to_string(b));
    m_sent.value += bytes.size();
  }
  void zero(std::size_t, std::uint64_t first, std::uint64_t count) override {
    told.push_back("Z" + std::to_string(first) + "+" + std::to_string(count));
  }
  model::PointInfo commit(const base::Digest&) override { return {}; }
  model::ByteCount sent() const override { return m_sent; }
  std::vector<std::string> told;

 private:
  model::ByteCount m_sent;
};

struct Copied {
  std::vector<std::string> told;
  ports::CopyCounts counts;
  base::Seconds took{0};
};

Copied copy(ports::BlockSource& source, ports::ParentBlocks parent, ports::Look look = ports::Look::all,
            std::optional<model::ByteRate> limit = std::nullopt) {
  fakes::LabClock clock;
  base::CancelToken cancel;
  RecordingSink sink;
  ports::ChangeDigest changes;
  ports::Pace pace(clock, cancel, limit);
  const auto counts = ports::send_part(source, sink, changes, {0, parent, look}, pace, cancel, {});
  return {sink.told, counts, base::Seconds(clock.steady())};
}

using Told = std::vector<std::string>;

}  // namespace

TEST_CASE("without a parent only what is not zero is told") {
  fakes::MemoryImage image({10 * block});
  image.fill(2 * block, 2 * block, 7);
  image.fill(5 * block, block, 0);  // allocated, but zeroes
  fakes::MemorySource source(image);
  const Copied copied = copy(source, ports::ParentBlocks::zero());
  CHECK(copied.told == Told{"D2", "D3"});
  CHECK(copied.counts.data.value == 2 * block);
  CHECK(copied.counts.looked.value == 10 * block);
  CHECK(source.bytes_read() == 3 * block);
}

TEST_CASE("where the parent is not known, zeroes are told too, as ranges that join") {
  fakes::MemoryImage image({6 * block});
  image.fill(0, block, 7);
  image.fill(3 * block, block, 0);
  fakes::MemorySource source(image);
  const Copied copied = copy(source, ports::ParentBlocks::unknown());
  CHECK(copied.told == Told{"D0", "Z1+5"});
  CHECK(copied.counts.zero.value == 5 * block);
}

TEST_CASE("with the parent's digests only blocks that differ are told") {
  fakes::MemoryImage before({6 * block + 100});
  before.fill(0, 6 * block + 100, 1);
  const model::PartManifest manifest = before.manifest(model::DiskName("vda"));
  fakes::MemoryImage now = before;
  now.fill(2 * block, 5, 9);
  now.fill(4 * block, block, 0);
  now.fill(6 * block + 99, 1, 9);  // in the last, shorter block
  fakes::MemorySource source(now);
  CHECK(copy(source, ports::ParentBlocks::known(manifest)).told == Told{"D2", "Z4+1", "D6"});
}

TEST_CASE("a disk that grew is zero past the end of the parent's") {
  fakes::MemoryImage before({2 * block});
  before.fill(0, 2 * block, 1);
  const model::PartManifest manifest = before.manifest(model::DiskName("vda"));
  fakes::MemoryImage now = before;
  now.resize({5 * block});
  now.fill(4 * block, block, 3);
  fakes::MemorySource source(now);
  CHECK(copy(source, ports::ParentBlocks::known(manifest)).told == Told{"D4"});
}

TEST_CASE("only changed blocks are looked at, where that is asked for and told") {
  fakes::MemoryImage image({40 * block});
  image.fill(0, 40 * block, 1);
  fakes::MemorySource tracked(image, {3, 4, 39});
  const Copied some = copy(tracked, ports::ParentBlocks::unknown(), ports::Look::changed);
  CHECK(some.told == Told{"D3", "D4", "D39"});
  CHECK(tracked.bytes_read() == 3 * block);
  fakes::MemorySource again(image, {3, 4, 39});
  CHECK(copy(again, ports::ParentBlocks::unknown(), ports::Look::all).told.size() == 40);
}

namespace {

/// Extents that cut through blocks.
class CutSource : public fakes::MemorySource {
 public:
  using MemorySource::MemorySource;
  bool tracks_changes() const override { return true; }
  void each_extent(const std::function<void(const ports::Extent&)>& each) override {
    each({0, block + 10, true, false});
    each({block + 10, 20, true, true});  // inside block 1
    each({block + 30, 2 * block, true, false});
    each({3 * block + 30, block - 30, true, true});  // the end of block 3
  }
};

}  // namespace

TEST_CASE("a block that an extent cuts through is read whole") {
  fakes::MemoryImage image({4 * block});
  image.fill(block, 10, 5);
  image.fill(3 * block, 30, 6);
  CutSource source(image);
  CHECK(copy(source, ports::ParentBlocks::unknown(), ports::Look::changed).told == Told{"D1", "D3"});
}

TEST_CASE("a bandwidth limit holds") {
  fakes::MemoryImage image({64 * block});
  image.fill(0, 64 * block, 1);
  fakes::MemorySource source(image);
  const Copied slow = copy(source, ports::ParentBlocks::zero(), ports::Look::all, model::ByteRate{1 << 20});
  CHECK(slow.took.count() == Approx(4.0).margin(0.1));
}

TEST_CASE("time in which nothing was sent is no credit for what comes after it") {
  fakes::LabClock clock;
  base::CancelToken cancel;
  ports::Pace pace(clock, cancel, model::ByteRate{1e6});
  pace.keep({1'000'000});
  clock.pause(base::Millis{3'600'000});  // an hour of blocks that had not changed
  const base::Millis before = clock.steady();
  pace.keep({11'000'000});
  CHECK(base::Seconds(clock.steady() - before).count() > 8.5);
}

TEST_CASE("what may be sent follows a limit that changes") {
  fakes::LabClock clock;
  const base::CancelToken cancel;
  model::ByteRate limit{1000};
  ports::Pace pace(clock, cancel, [&] { return std::optional(limit); });
  const auto taken = [&](std::uint64_t sent) {
    const base::Millis before = clock.steady();
    pace.keep({sent});
    return (clock.steady() - before).count();
  };
  CHECK(taken(2000) == 2000);
  limit = {500};  // another pass came
  CHECK(taken(3000) == 2000);
  limit = {4000};
  CHECK(taken(7000) == 1000);
}

TEST_CASE("a stop is seen between two reads, and within a pause") {
  fakes::MemoryImage image({64 * block});
  image.fill(0, 64 * block, 1);
  fakes::MemorySource source(image);
  fakes::LabClock clock;
  base::CancelToken cancel;
  RecordingSink sink;
  ports::ChangeDigest changes;
  ports::Pace pace(clock, cancel, model::ByteRate{100});
  const auto stop_soon = [&](const ports::CopyProgress&) { cancel.request(15); };
  CHECK(kind_of([&] {
          ports::send_part(source, sink, changes, {0, ports::ParentBlocks::zero(), ports::Look::all}, pace, cancel,
                           stop_soon);
        }) == base::Kind::cancelled);
  cancel.request(15);
  CHECK(kind_of([&] { pace.keep({2 << 20}); }) == base::Kind::cancelled);
}

TEST_CASE("what is told, laid over the parent, is the disk, and nothing is told without need") {
  CHECK(rc::check([] {
    const std::uint64_t size = *rc::gen::inRange<std::uint64_t>(1, 20 * block);
    const auto image = [&] {
      fakes::MemoryImage made({size});
      const auto writes = *rc::gen::container<std::vector<std::pair<std::uint64_t, unsigned char>>>(
          rc::gen::pair(rc::gen::inRange<std::uint64_t>(0, size), rc::gen::inRange<unsigned char>(0, 3)));
      for (const auto& [at, value] : writes) made.fill(at, std::min<std::uint64_t>(size - at, 70000), value);
      return made;
    };
    const fakes::MemoryImage before = image();
    const fakes::MemoryImage now = image();
    const model::PartManifest old_digests = before.manifest(model::DiskName("vda"));
    const model::PartManifest new_digests = now.manifest(model::DiskName("vda"));
    std::set<std::string> need;
    for (std::size_t b = 0; b < new_digests.blocks.size(); ++b) {
      if (new_digests.blocks[b] != old_digests.blocks[b] && new_digests.blocks[b] != base::Digest{})
        need.insert("D" + std::to_string(b));
    }
    fakes::MemorySource source(now);
    std::set<std::string> told;
    for (const std::string& one : copy(source, ports::ParentBlocks::known(old_digests)).told) {
      if (one.starts_with("D")) told.insert(one);
    }
    RC_ASSERT(told == need);
  }));
}

}  // namespace umbra::replicate
