// SPDX-License-Identifier: Apache-2.0
// One point over one pipe: whole, or not at all.

#include <rapidcheck.h>

#include "adapters/stream/messages.hpp"
#include "adapters/stream/stream.hpp"
#include "bytes.hpp"
#include "fakes/memory_points.hpp"

using namespace umbra;

namespace {

const model::ShadowId shadow{"web1"};
constexpr std::uint64_t block = model::block_size;

model::PointHeader header_of(std::uint64_t size) {
  model::PointHeader header;
  header.shadow = shadow;
  header.vm = model::VmName("web1");
  header.number = {1};
  header.taken_at = base::Instant(std::chrono::seconds(1'700'000'000));
  header.parts = {{model::DiskName("vda"), {size}}};
  header.activity = "{}";
  return header;
}

/// The stream of a point whose last, short block holds `tail`, after a range of zeroes.
stream::Bytes stream_of(std::span<const std::byte> tail) {
  const test::MemoryFile file;
  const auto sink = stream::send_one_way(file.fd(), header_of(3 * block + tail.size()));
  ports::ChangeDigest changes;
  const base::Digest digest = base::sha256(tail);
  changes.zero(0, 0, 2);
  sink->zero(0, 0, 2);
  changes.data(0, 3, digest);
  sink->data(0, 3, digest, tail);
  const auto info = sink->commit(changes.finish());
  CHECK(info.number.value == 1);
  CHECK(sink->sent().value == file.content().size());
  return file.content();
}

model::PointInfo receive(fakes::MemoryHost& host, std::span<const std::byte> bytes) {
  fakes::MemoryPoints store(host);
  const test::MemoryFile input(bytes);
  return stream::receive_one_way(store, input.fd()).point;
}

/// That `bytes` end in an error and leave no point.
void check_refused(std::span<const std::byte> bytes) {
  fakes::MemoryHost host;
  const auto error = test::error_of([&] { receive(host, bytes); });
  REQUIRE((error.kind() == base::Kind::corrupt || error.kind() == base::Kind::unsupported));
  REQUIRE(host.open_sinks == 0);
  for (const auto& [id, found] : host.shadows) REQUIRE(found.points.empty());
}

}  // namespace

TEST_CASE("a whole stream makes the point, and the shadow where there was none") {
  const auto tail = test::filled(9, 100);
  fakes::MemoryHost host;
  receive(host, stream_of(tail));
  const auto& point = host.shadows.at(shadow).points.at(1);
  CHECK(point.parts.at(model::DiskName("vda")).read(3 * block, 100) == tail);
  CHECK(point.activity == "{}");
}

TEST_CASE("a stream torn at any byte leaves an error and no point") {
  const auto bytes = stream_of(test::filled(9, 100));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    INFO("torn after " << length << " of " << bytes.size() << " bytes");
    check_refused(std::span(bytes).first(length));
  }
}

TEST_CASE("a flipped bit anywhere leaves an error and no point") {
  const auto bytes = stream_of(test::filled(9, 100));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    INFO("bit " << bit % 8 << " of byte " << bit / 8);
    auto damaged = bytes;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    check_refused(damaged);
  }
}

TEST_CASE("garbage is refused, and garbage after a true beginning too") {
  const auto sound = stream_of(test::filled(9, 100));
  CHECK(rc::check([&](const std::vector<std::uint8_t>& garbage, std::size_t kept) {
    stream::Bytes bytes(sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(kept % sound.size()));
    for (const std::uint8_t v : garbage) bytes.push_back(static_cast<std::byte>(v));
    if (bytes.size() >= sound.size() && std::equal(sound.begin(), sound.end(), bytes.begin())) return;
    check_refused(bytes);
  }));
}

TEST_CASE("any blocks sent are the blocks received") {
  CHECK(rc::check([](const std::map<std::uint8_t, std::uint8_t>& blocks) {
    const test::MemoryFile file;
    const auto sink = stream::send_one_way(file.fd(), header_of(256 * block));
    fakes::MemoryImage expected({256 * block});
    ports::ChangeDigest changes;
    for (const auto& [number, value] : blocks) {
      if (value == 0) {
        sink->zero(0, number, 1);
        changes.zero(0, number, 1);
        continue;
      }
      auto data = test::filled(value, block);
      if (value % 2 == 0) {  // hard to compress
        std::uint64_t state = value;
        for (std::byte& b : data)
          b = static_cast<std::byte>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
      }
      const auto digest = base::sha256(data);
      expected.set_block(number, data);
      sink->data(0, number, digest, data);
      changes.data(0, number, digest);
    }
    sink->commit(changes.finish());
    fakes::MemoryHost host;
    receive(host, file.content());
    RC_ASSERT(host.shadows.at(shadow).points.at(1).parts.at(model::DiskName("vda")) == expected);
  }));
}

TEST_CASE("a whole point without a number takes the receiver's next one") {
  fakes::MemoryHost host;
  for (std::uint64_t number : {1, 2}) {
    const test::MemoryFile file;
    model::PointHeader header = header_of(block);
    header.number = {0};
    const auto sink = stream::send_one_way(file.fd(), header);
    ports::ChangeDigest changes;
    changes.zero(0, 0, 1);
    sink->zero(0, 0, 1);
    sink->commit(changes.finish());
    CHECK(receive(host, file.content()).number.value == number);
  }
  CHECK(host.shadows.at(shadow).points.size() == 2);
}

TEST_CASE("a point that has a parent needs a number of its own") {
  const test::MemoryFile file;
  model::PointHeader header = header_of(block);
  header.number = {0};
  header.parent = {3};
  stream::send_one_way(file.fd(), header)->commit(ports::ChangeDigest().finish());
  check_refused(file.content());
}

TEST_CASE("a header that asks for a thousand parts, or for a number that none could follow, makes nothing") {
  const bool by_parts = GENERATE(true, false);
  nlohmann::json header = nlohmann::json::parse(
      R"({"shadow":"web1","vm":"web1","number":1,"parent":0,"parent_root":"","taken_at":"2026-11-24T10:00:00Z",)"
      R"("checkpoint":"","activity":"","parts":[]})");
  header["parent_root"] = base::Digest{}.to_string();
  for (int i = 0; i < (by_parts ? 1000 : 1); ++i)
    header["parts"].push_back({{"name", "disk" + std::to_string(i)}, {"size", 65536}});
  if (!by_parts) header["number"] = ~0ull;
  CHECK_THROWS_WITH(stream::header_from(header), Catch::Contains(by_parts ? "at most 64 parts" : "no whole number"));
}
