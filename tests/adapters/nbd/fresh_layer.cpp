// SPDX-License-Identifier: Apache-2.0
// Layers that this process writes itself, as QEMU sees them; raw files that it reads itself.
#include <fcntl.h>
#include <rapidcheck.h>
#include <sys/wait.h>

#include <fstream>
#include <random>

#include "adapters/nbd/part_writer.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "images.hpp"

using namespace umbra;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t block = model::block_size;

fs::path new_layer(const test::Scratch& scratch, const std::string& name, std::uint64_t size,
                   const std::optional<std::string>& below = {}) {
  fs::remove(scratch / name);
  nbd::qcow2::create(scratch / name, {size}, below);
  return scratch / name;
}

/// 0 where all is well, 3 where clusters are leaked.
int checked(const fs::path& layer) {
  return test::tool({"qemu-img", "check", "-q", "-f", "qcow2", layer.string()});
}

std::vector<std::byte> contents(const fs::path& layer) {
  const auto source = nbd::open_file({layer.string(), "qcow2", {}, {}});
  std::vector<std::byte> all;
  std::vector<ports::Range> ranges;
  const std::uint64_t size = source->size().value;
  for (std::uint64_t at = 0; at < size; at += 1u << 20)
    ranges.push_back({at, std::min<std::uint64_t>(1u << 20, size - at)});
  source->read(ranges, [&](auto&, auto bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
  return all;
}

std::vector<std::byte> random_block(std::uint64_t seed, std::size_t length = block) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> data(length);
  for (std::byte& b : data) b = static_cast<std::byte>(random());
  return data;
}

}  // namespace

TEST_CASE("QEMU reads from a layer what was written to it, over what lies below") {
  const test::Scratch scratch;
  CHECK(rc::check([&] {
    // Now and then across two tables of the second level; with a last block that may be short.
    const std::uint64_t blocks = *rc::gen::weightedElement<std::uint64_t>({{12, 3}, {12, 40}, {1, 8200}});
    const std::uint64_t size = blocks * block - *rc::gen::element<std::uint64_t>(0, 512, 65024);
    const bool has_below = *rc::gen::arbitrary<bool>();
    std::vector<std::byte> expected(size);
    std::optional<std::string> below;
    if (has_below) {
      below = new_layer(scratch, "below.qcow2", size);
      test::guest(*below, "write -P 9 0 " + std::to_string(std::min<std::uint64_t>(size, 5 * block)));
      std::fill_n(expected.begin(), std::min<std::uint64_t>(size, 5 * block), std::byte{9});
    }
    const fs::path layer = new_layer(scratch, "layer.qcow2", size, below);
    const auto writer = nbd::open_fresh_layer(layer);
    RC_ASSERT(writer != nullptr);
    const auto places = *rc::gen::container<std::set<std::uint64_t>>(
        rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, std::min<std::uint64_t>(blocks, 6)),
                       rc::gen::inRange<std::uint64_t>(0, blocks), rc::gen::just(blocks - 1)));
    for (const std::uint64_t b : places) {
      const std::uint64_t length = std::min(block, size - b * block);
      const auto data = b % 3 == 0 ? std::vector<std::byte>(length) : random_block(b, length);
      if (b % 3 == 0)
        writer->zero(b * block, length);
      else
        writer->write(b * block, data);
      std::copy(data.begin(), data.end(), expected.begin() + static_cast<std::ptrdiff_t>(b * block));
    }
    writer->finish();
    RC_ASSERT(checked(layer) == 0);
    RC_ASSERT(contents(layer) == expected);
  }));
}

TEST_CASE("a layer whose counts take more than one block of them is sound") {
  const test::Scratch scratch;
  constexpr std::uint64_t blocks = 32768 + 100;  // 2 GiB and some
  const fs::path layer = new_layer(scratch, "large.qcow2", blocks * block);
  const auto writer = nbd::open_fresh_layer(layer);
  const auto data = random_block(1);
  for (std::uint64_t b = 0; b < blocks; ++b) writer->write(b * block, data);
  writer->finish();
  CHECK(checked(layer) == 0);
}

TEST_CASE("a layer that was cut is consistent, and a cut process leaves no more than leaked clusters") {
  const test::Scratch scratch;
  const fs::path layer = new_layer(scratch, "cut.qcow2", 2000 * block);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto writer = nbd::open_fresh_layer(layer);
    for (std::uint64_t b = 0; b < 1500; ++b) writer->write(b * block, random_block(b));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  const int status = checked(layer);
  CHECK((status == 0 || status == 3));
  const std::vector<std::byte> found = contents(layer);
  std::uint64_t kept = 0;
  for (std::uint64_t b = 0; b < 1500; ++b) {
    const auto place = std::span(found).subspan(b * block, block);
    if (base::all_zero(place)) continue;
    ++kept;
    REQUIRE(base::sha256(place) == base::sha256(random_block(b)));
  }
  CHECK(kept >= 512);                              // what is noted every 32 MiB
  CHECK(nbd::open_fresh_layer(layer) == nullptr);  // it holds something: QEMU goes on with it
  const auto again = nbd::open_layer(layer);
  again->write(1600 * block, random_block(1600));
  again->finish();
  CHECK((checked(layer) == 0 || checked(layer) == 3));
}

TEST_CASE("what comes out of turn is refused") {
  const test::Scratch scratch;
  const auto writer = nbd::open_fresh_layer(new_layer(scratch, "a.qcow2", 10 * block));
  writer->write(5 * block, random_block(5));
  CHECK(test::error_of([&] { writer->write(5 * block, random_block(5)); }).kind() == base::Kind::internal);
  CHECK(test::error_of([&] { writer->zero(3 * block, block); }).kind() == base::Kind::internal);
  CHECK(test::error_of([&] { writer->write(10 * block, random_block(5)); }).kind() == base::Kind::internal);
}

TEST_CASE("a raw file is read as it is, its holes as zeroes, whatever its size") {
  const test::Scratch scratch;
  const std::string path = scratch / "a.raw";
  const auto data = random_block(1, 3 * block);
  {
    const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT);
    REQUIRE(::ftruncate(fd.get(), 40 * block + 77) == 0);
    REQUIRE(::pwrite(fd.get(), data.data(), data.size(), 10 * block) == static_cast<ssize_t>(data.size()));
  }
  const auto source = nbd::open_file({path, "raw", {}, {}});
  CHECK(source->size().value == 40 * block + 77);
  std::uint64_t end = 0;
  std::uint64_t not_zero = 0;
  source->each_extent([&](const ports::Extent& e) {
    CHECK(e.offset == end);
    end += e.length;
    if (!e.zero) not_zero += e.length;
  });
  CHECK(end == 40 * block + 77);
  CHECK(not_zero >= data.size());
  const std::vector<ports::Range> ranges{{9 * block, 4 * block}, {40 * block, 77}};
  std::vector<std::byte> found;
  source->read(ranges, [&](auto&, auto bytes) { found.insert(found.end(), bytes.begin(), bytes.end()); });
  std::vector<std::byte> expected(4 * block + 77);
  std::copy(data.begin(), data.end(), expected.begin() + block);
  CHECK(found == expected);
}

TEST_CASE("a raw file that a QEMU writes is not read, and none writes it meanwhile") {
  const test::Scratch scratch;
  const std::string path = scratch / "a.raw";
  std::ofstream(path) << std::string(1u << 20, 'x');
  const auto write = [&] { return test::tool({"qemu-io", "-f", "raw", "-c", "write 0 64k", path}); };
  {
    nbd::QemuNbd writer({.path = path, .format = "raw", .read_only = false});
    nbd::Connection connection;
    writer.connect(connection);
    CHECK(test::error_of([&] { nbd::open_file({path, "raw", {}, {}}); }).kind() == base::Kind::busy);
  }
  {
    const auto source = nbd::open_file({path, "raw", {}, {}});
    CHECK(write() != 0);
    const auto another = nbd::open_file({path, "raw", {}, {}});  // readers bear each other
  }
  CHECK(write() == 0);
}
