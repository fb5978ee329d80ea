// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/manifest_file.hpp"

#include <fcntl.h>

#include "images.hpp"

using namespace umbra;

namespace {

model::PartManifest some_manifest(std::size_t blocks) {
  model::PartManifest manifest{{test::vda, {blocks * model::block_size}}, {}};
  for (std::size_t i = 0; i < blocks; ++i) {
    base::Digest digest;
    digest.bytes[i % 32] = static_cast<std::byte>(i + 1);
    manifest.blocks.push_back(digest);
  }
  return manifest;
}

}  // namespace

TEST_CASE("a manifest file gives back what was written") {
  const test::Scratch scratch;
  for (const std::size_t blocks : {1u, 2u, 1000u}) {
    const auto manifest = some_manifest(blocks);
    const std::filesystem::path file = scratch / std::to_string(blocks);
    nbd::write_manifest_file(file, manifest);
    CHECK(nbd::read_manifest_file(file, manifest.part).blocks == manifest.blocks);
  }
}

TEST_CASE("every damaged bit of a manifest file is found, and every length but its own") {
  const test::Scratch scratch;
  const auto manifest = some_manifest(2);
  const std::filesystem::path file = scratch / "m";
  nbd::write_manifest_file(file, manifest);
  const std::string sound = base::read_text_file(file);
  for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
    std::string damaged = sound;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    base::write_file_atomic(file, damaged);
    REQUIRE(test::error_of([&] { nbd::read_manifest_file(file, manifest.part); }).kind() == base::Kind::corrupt);
  }
  for (std::size_t length = 0; length <= sound.size() + 1; ++length) {
    if (length == sound.size()) continue;
    base::write_file_atomic(file, (sound + "x").substr(0, length));
    REQUIRE(test::error_of([&] { nbd::read_manifest_file(file, manifest.part); }).kind() == base::Kind::corrupt);
  }
  base::write_file_atomic(file, sound);
  CHECK_NOTHROW(nbd::read_manifest_file(file, manifest.part));
  CHECK_THROWS(nbd::read_manifest_file(file, {test::vda, {model::block_size}}));
}
