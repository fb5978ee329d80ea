// SPDX-License-Identifier: Apache-2.0
// What goes through all blocks of a disk ends when a stop is asked for, and is taken for no damage.
#include <set>

#include "adapters/nbd/block_reader.hpp"
#include "images.hpp"

using namespace umbra;
using test::shadow;

namespace {

constexpr std::uint64_t block = model::block_size;

bool is_stopped(const std::function<void()>& act) {
  return test::error_of(act).kind() == base::Kind::cancelled;
}

}  // namespace

TEST_CASE("a stop ends the looks at points and their reading, and they stay sound") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, 16 * block);
  const std::string source = test::make_image(scratch / "source.qcow2", "1M");
  test::guest(source, "write -P 1 0 256k");
  test::pass(store, {source, "qcow2", {}, {}});
  base::CancelToken cancel;
  nbd::LocalPoints stopped(scratch / "images", &cancel);
  model::PointHeader next = test::next_header(stopped);
  next.parts = {{test::vda, {16 * block}}};
  SECTION("before anything is read") {
    cancel.request(15);
    CHECK(is_stopped([&] { stopped.verify(shadow, {1}, ports::Verify::whole); }));
    CHECK(is_stopped([&] { stopped.verify(shadow, {1}, ports::Verify::unread); }));
    CHECK(is_stopped([&] { stopped.verify(shadow, {1}, ports::Verify::sample); }));
    CHECK(is_stopped([&] { stopped.examine(shadow); }));
    CHECK(is_stopped([&] { stopped.manifest(shadow, {1}); }));
    CHECK(is_stopped([&] { stopped.begin(next); }));
  }
  SECTION("between two blocks") {
    const auto sink = stopped.begin(next);
    const std::vector<std::byte> data(block, std::byte{9});
    sink->data(0, 3, base::sha256(data), data);
    cancel.request(15);
    CHECK(is_stopped([&] { sink->data(0, 4, base::sha256(data), data); }));
  }
  SECTION("of a file that is read block by block") {
    nbd::BlockReader reader(test::newest_layer(store), next.parts.at(0), nbd::all_of_it, &cancel);
    const ports::BlockMap looks = reader.looks();
    std::uint64_t seen = 0;
    cancel.request(15);
    const auto count = [&](std::uint64_t, const base::Digest&) { ++seen; };
    CHECK(is_stopped([&] { reader.read(looks, count, [&](std::uint64_t, std::uint64_t zeroes) { seen += zeroes; }); }));
    CHECK(seen == 0);
  }
  CHECK(store.points(shadow).size() == 1);
  CHECK(store.points(shadow).at(0).damaged.empty());
  CHECK(store.verify(shadow, {1}, ports::Verify::whole).sound());
}

TEST_CASE("a damaged block among many others of a large sparse disk is found, and so is one that should be a hole") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  constexpr std::uint64_t large = 1ull << 40;
  test::make_shadow(store, large);
  const std::string source = test::make_image(scratch / "source.qcow2", "1T");
  test::guest(source, "write -P 1 700G 256k");
  test::pass(store, {source, "qcow2", {}, {}});
  const std::string layer = test::newest_layer(store);
  test::guest(layer, "write -P 2 300G 64k");
  test::guest(layer, "write -z 700G 64k");
  const auto report = store.verify(shadow, {1}, ports::Verify::whole);
  REQUIRE(report.mismatches.size() == 2);
  std::set<std::uint64_t> places;
  for (const model::Mismatch& mismatch : report.mismatches) places.insert(mismatch.offset.value());
  CHECK(places == std::set<std::uint64_t>{300ull << 30, 700ull << 30});
}
