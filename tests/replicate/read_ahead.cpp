// SPDX-License-Identifier: Apache-2.0
// A source that a thread of its own reads: the same is told as without one, and every failure ends both.
#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "fakes/memory_lab.hpp"
#include "ports/block_map.hpp"
#include "ports/copy.hpp"
#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

using Told = std::vector<std::string>;

/// Writes down what it is told; throws at the nth block.
class RecordingSink : public ports::BlockSink {
 public:
  explicit RecordingSink(std::uint64_t fails_at = UINT64_MAX) : m_fails_at(fails_at) {}
  void data(std::size_t, std::uint64_t b, const base::Digest& digest, std::span<const std::byte> bytes) override {
    if (b >= m_fails_at) throw base::Error(base::Kind::no_space, "the sink is full");
    if (base::sha256(bytes) != digest) throw std::logic_error("another digest");
    told.push_back("D" + std::to_string(b));
  }
  void zero(std::size_t, std::uint64_t first, std::uint64_t count) override {
    told.push_back("Z" + std::to_string(first) + "+" + std::to_string(count));
  }
  model::PointInfo commit(const base::Digest&) override { return {}; }
  model::ByteCount sent() const override { return {}; }
  Told told;

 private:
  std::uint64_t m_fails_at;
};

/// Read by a thread of its own; fails, or waits for stop(), at a range that reaches the block.
class AloneSource : public fakes::MemorySource {
 public:
  using MemorySource::MemorySource;
  bool stands_alone() const override { return true; }
  void stop() noexcept override {
    const std::lock_guard lock(m_mutex);
    m_stopped = true;
    m_changed.notify_all();
  }
  void read(std::span<const ports::Range> ranges,
            const std::function<void(const ports::Range&, std::span<const std::byte>)>& each) override {
    for (const ports::Range& range : ranges) {
      const std::uint64_t last = (range.offset + range.length - 1) / block;
      if (last >= fails_at) throw base::Error(base::Kind::io, "the disk can't be read");
      if (last >= waits_at) {
        std::unique_lock lock(m_mutex);
        m_changed.wait(lock, [this] { return m_stopped; });
        throw base::Error(base::Kind::cancelled, "stopped");
      }
      MemorySource::read(std::span(&range, 1), each);
    }
  }
  std::uint64_t fails_at = UINT64_MAX;
  std::uint64_t waits_at = UINT64_MAX;

 private:
  std::mutex m_mutex;
  std::condition_variable m_changed;
  bool m_stopped = false;
};

struct Copied {
  Told told;
  base::Digest changes;
  ports::CopyCounts counts;
  std::optional<base::Kind> failure;
};

Copied copy(ports::BlockSource& source, const ports::CopyJob& job, std::uint64_t sink_fails_at = UINT64_MAX) {
  base::CancelToken cancel;
  RecordingSink sink(sink_fails_at);
  ports::ChangeDigest changes;
  fakes::LabClock clock;
  ports::Pace pace(clock, cancel, std::nullopt);
  Copied copied;
  try {
    copied.counts = ports::send_part(source, sink, changes, job, pace, cancel, {});
  } catch (const base::Error& e) {
    copied.failure = e.kind();
  }
  copied.told = sink.told;
  copied.changes = changes.finish();
  return copied;
}

/// Block by block, as a reader of the contract would write it down.
Copied naive(const fakes::MemoryImage& image, const ports::ParentBlocks& parent, const std::set<std::uint64_t>* only) {
  Copied copied;
  ports::ChangeDigest changes;
  std::uint64_t first_zero = 0;
  std::uint64_t zeroes = 0;
  const auto flush = [&] {
    if (zeroes == 0) return;
    copied.told.push_back("Z" + std::to_string(first_zero) + "+" + std::to_string(zeroes));
    changes.zero(0, first_zero, zeroes);
    zeroes = 0;
  };
  const model::PartManifest digests = image.manifest(model::DiskName("vda"));
  for (std::uint64_t b = 0; b < digests.blocks.size(); ++b) {
    if (only != nullptr && !only->contains(b)) continue;
    const std::uint64_t length = std::min<std::uint64_t>(block, image.size().value - b * block);
    copied.counts.looked.value += length;
    if (parent.same(b, digests.blocks[b])) continue;
    if (digests.blocks[b] == base::Digest{}) {
      if (zeroes > 0 && first_zero + zeroes != b) flush();
      if (zeroes++ == 0) first_zero = b;
      copied.counts.zero.value += length;
      continue;
    }
    flush();
    copied.told.push_back("D" + std::to_string(b));
    changes.data(0, b, digests.blocks[b]);
    copied.counts.data.value += length;
  }
  flush();
  copied.changes = changes.finish();
  return copied;
}

std::size_t threads() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

/// A sanitizer's own thread comes with the first of the program's.
std::size_t threads_at_first() {
  std::thread([] {}).join();
  return threads();
}

/// One that was joined may be listed for a moment longer.
bool back_to(std::size_t before) {
  return base::wait_until(base::system_clock(), base::Millis{2000}, base::Millis{1},
                          [&] { return threads() <= before; });
}

fakes::MemoryImage full_image(std::uint64_t blocks) {
  fakes::MemoryImage image({blocks * block});
  for (std::uint64_t b = 0; b < blocks; ++b) image.fill(b * block, block, static_cast<unsigned char>(1 + b % 250));
  return image;
}

const ports::CopyJob whole{0, ports::ParentBlocks::zero(), ports::Look::all};

}  // namespace

TEST_CASE("the same is told, counted and digested as by a copy of one block after the other") {
  CHECK(rc::check([] {
    const auto image = [&](std::uint64_t size) {
      fakes::MemoryImage made({size});
      const auto writes = *rc::gen::container<std::vector<std::pair<std::uint64_t, unsigned char>>>(
          rc::gen::pair(rc::gen::inRange<std::uint64_t>(0, size), rc::gen::inRange<unsigned char>(0, 3)));
      for (const auto& [at, value] : writes) made.fill(at, std::min<std::uint64_t>(size - at, 300000), value);
      return made;
    };
    const auto size = *rc::gen::inRange<std::uint64_t>(1, 90 * block);
    const fakes::MemoryImage now = image(size);
    const fakes::MemoryImage before = image(*rc::gen::inRange<std::uint64_t>(1, 90 * block));
    const model::PartManifest digests = before.manifest(model::DiskName("vda"));
    const auto parent = *rc::gen::element(0, 1, 2);
    const ports::ParentBlocks blocks = parent == 0   ? ports::ParentBlocks::zero()
                                       : parent == 1 ? ports::ParentBlocks::unknown()
                                                     : ports::ParentBlocks::known(digests);
    const bool tracked = *rc::gen::arbitrary<bool>();
    const auto changed =
        *rc::gen::container<std::set<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, model::blocks_in({size})));
    AloneSource source = [&] { return tracked ? AloneSource(now, changed) : AloneSource(now); }();
    const Copied copied = copy(source, {0, blocks, tracked ? ports::Look::changed : ports::Look::all});
    const Copied expected = naive(now, blocks, tracked ? &changed : nullptr);
    RC_ASSERT(!copied.failure);
    RC_ASSERT(copied.told == expected.told);
    RC_ASSERT(copied.changes == expected.changes);
    RC_ASSERT(copied.counts.looked == expected.counts.looked);
    RC_ASSERT(copied.counts.data == expected.counts.data);
    RC_ASSERT(copied.counts.zero == expected.counts.zero);
  }));
}

TEST_CASE("where reading fails, what was read before is told, and no thread stays") {
  const std::size_t before = threads_at_first();
  for (const std::uint64_t nth : {0, 1, 4, 100, 399}) {
    AloneSource source(full_image(400));
    source.fails_at = nth;
    const Copied copied = copy(source, whole);
    CHECK(copied.failure == base::Kind::io);
    CHECK(copied.told.size() == nth / 16 * 16);  // sixteen blocks are one read
    CHECK(back_to(before));
  }
}

TEST_CASE("where the sink fails its own error is thrown, and no thread stays, also where reading waits") {
  const std::size_t before = threads_at_first();
  for (const std::uint64_t nth : {0, 1, 50, 399}) {
    AloneSource source(full_image(400));
    CHECK(copy(source, whole, nth).failure == base::Kind::no_space);
    AloneSource waiting(full_image(400));
    waiting.waits_at = nth + 16;
    CHECK(copy(waiting, whole, nth).failure == base::Kind::no_space);
    CHECK(back_to(before));
  }
}

TEST_CASE("a stop ends a pass whose disk does not answer") {
  AloneSource source(full_image(64));
  source.waits_at = 32;
  base::CancelToken cancel;
  RecordingSink sink;
  ports::ChangeDigest changes;
  fakes::LabClock clock;
  ports::Pace pace(clock, cancel, std::nullopt);
  const auto stop_soon = [&](const ports::CopyProgress& p) {
    if (p.done.value >= 32 * block) cancel.request(15);
  };
  CHECK(kind_of([&] { ports::send_part(source, sink, changes, whole, pace, cancel, stop_soon); }) ==
        base::Kind::cancelled);
  CHECK(sink.told.size() == 32);
}

TEST_CASE("a map says of every block what the extents say, whatever they cut") {
  using State = ports::BlockMap::State;
  CHECK(rc::check([] {
    const auto blocks = *rc::gen::inRange<std::uint64_t>(1, 200000);
    const std::uint64_t size = blocks * block - *rc::gen::inRange<std::uint64_t>(0, block);
    ports::BlockMap map({size});
    std::vector<State> expected(blocks, State::untouched);
    std::uint64_t looked = 0;
    for (std::uint64_t at = 0; at < size;) {
      const auto length = std::min(size - at, *rc::gen::inRange<std::uint64_t>(1, 1ull << 33));
      const bool zero = *rc::gen::arbitrary<bool>();
      if (*rc::gen::inRange(0, 3) != 0) {
        map.mark({at, length, zero, true});
        for (std::uint64_t b = at / block; b * block < at + length; ++b) {
          const bool is_whole = at <= b * block && std::min((b + 1) * block, size) <= at + length;
          expected[b] = zero && is_whole ? State::zero : State::data;
        }
      }
      at += length;
    }
    for (std::uint64_t b = 0; b < blocks; ++b) {
      if (map.at(b) != expected[b]) RC_FAIL("block " + std::to_string(b));
      if (expected[b] != State::untouched) looked += map.length_of(b);
    }
    for (std::uint64_t b = 0; b < blocks;) {
      const std::uint64_t end = map.alike_until(b);
      RC_ASSERT(end > b && end <= blocks);
      for (; b < end; ++b) {
        if (map.at(b) != map.at(end - 1)) RC_FAIL("not alike");
      }
    }
    RC_ASSERT(map.looked_at().value == looked);
  }));
}

}  // namespace umbra::replicate
