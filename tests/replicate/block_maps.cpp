// SPDX-License-Identifier: Apache-2.0
// Maps of blocks and what is kept of a cut pass, against plain maps.
#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <map>

#include "ports/kept_blocks.hpp"

using namespace umbra;
using ports::BlockMap;
using State = BlockMap::State;

namespace {

constexpr std::uint64_t block = model::block_size;
constexpr std::uint64_t page = 1u << 16;  // blocks of a map's page

/// A page's worth of a map, and no more, stays in memory.
std::shared_ptr<base::PagePool> tiny_pool() {
  return std::make_shared<base::PagePool>(20'000, std::filesystem::temp_directory_path());
}

/// What each block is, by the rule as it is written: a block that an extent cuts through is data.
void mark(std::vector<State>& plain, std::uint64_t size, const ports::Extent& extent) {
  const std::uint64_t end = std::min(extent.offset + extent.length, size);
  for (std::uint64_t b = extent.offset / block; b * block < end; ++b) {
    const bool whole = extent.offset <= b * block && std::min((b + 1) * block, size) <= end;
    plain[b] = whole && extent.zero ? State::zero : State::data;
  }
}

/// Near the edges of pages and of blocks.
std::uint64_t some_place(std::uint64_t size) {
  const auto near = *rc::gen::element<std::uint64_t>(0, page * block, 2 * page * block, size / 2 / block * block, size);
  const auto off = *rc::gen::element<std::int64_t>(-3 * std::int64_t(block), -std::int64_t(block), -512, 0, 512,
                                                   std::int64_t(block), 5 * std::int64_t(block));
  const auto place = static_cast<std::int64_t>(near) + off;
  return std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(place, 0)), size);
}

}  // namespace

TEST_CASE("a map of blocks is what marking each block would give, wherever its pages lie") {
  CHECK(rc::check([] {
    const auto size = *rc::gen::inRange<std::uint64_t>(1, 3 * page * block) / 512 * 512 + 512;
    BlockMap map({size}, tiny_pool());
    std::vector<State> plain(model::blocks_in({size}));
    for (int i = *rc::gen::inRange(0, 12); i > 0; --i) {
      const std::uint64_t from = some_place(size);
      const std::uint64_t to = some_place(size);
      if (from >= to) continue;
      const ports::Extent extent{from, to - from, *rc::gen::arbitrary<bool>(), true};
      map.mark(extent);
      mark(plain, size, extent);
    }
    model::ByteCount looked;
    for (std::uint64_t b = 0; b < plain.size();) {
      const std::uint64_t end = map.alike_until(b);
      RC_ASSERT(end > b && end <= plain.size());
      for (; b < end; ++b) {
        RC_ASSERT(map.at(b) == plain[b]);
        if (plain[b] != State::untouched) looked.value += map.length_of(b);
      }
    }
    RC_ASSERT(map.looked_at() == looked);

    std::uint64_t next = 0;
    std::uint64_t told = 0;  // blocks below are told, or no data
    for (auto ranges = map.next_data(next, 4 * block, 3); !ranges.empty(); ranges = map.next_data(next, 4 * block, 3)) {
      RC_ASSERT(ranges.size() <= 3);
      for (const ports::Range& range : ranges) {
        RC_ASSERT(range.length <= 4 * block);
        for (; told * block < range.offset; ++told) RC_ASSERT(plain[told] != State::data);
        for (; told * block < range.offset + range.length; ++told) RC_ASSERT(plain[told] == State::data);
        RC_ASSERT(range.offset + range.length == std::min(told * block, size));
      }
    }
    for (; told < plain.size(); ++told) RC_ASSERT(plain[told] != State::data);
  }));
}

TEST_CASE("what a cut pass left comes back run by run, however it was noted") {
  CHECK(rc::check([] {
    const std::uint64_t blocks = page + 100;
    ports::KeptBlocks kept({blocks * block});
    std::map<std::uint64_t, base::Digest> plain;
    for (int i = *rc::gen::inRange(0, 30); i > 0; --i) {
      const auto at = *rc::gen::element<std::uint64_t>(0, 5, page - 3, page, blocks - 20) + *rc::gen::inRange(0, 10);
      const auto count = *rc::gen::inRange<std::uint64_t>(1, 8);
      if (*rc::gen::arbitrary<bool>()) {
        kept.note_zeroes(at, count);
        for (std::uint64_t b = at; b < at + count; ++b) plain[b] = {};
      } else {
        base::Digest digest;
        digest.bytes[0] = static_cast<std::byte>(i);
        kept.note(at, digest);
        plain[at] = digest;
      }
    }
    RC_ASSERT(kept.empty() == plain.empty());
    std::map<std::uint64_t, base::Digest> told;
    std::uint64_t runs = 0;
    std::optional<model::BlockRun> last;
    for (model::BlockRun run = kept.next(0); run.count > 0; run = kept.next(run.block + run.count), ++runs) {
      RC_ASSERT(run.count == 1 || run.digest == base::Digest{});
      const bool continues = last && last->block + last->count == run.block && last->digest == run.digest;
      RC_ASSERT(!continues || run.digest != base::Digest{});
      for (std::uint64_t b = run.block; b < run.block + run.count; ++b) told[b] = run.digest;
      last = run;
    }
    RC_ASSERT(told == plain);
    RC_ASSERT(kept.runs() == runs);
  }));
}
