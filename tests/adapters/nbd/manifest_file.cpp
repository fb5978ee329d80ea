// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/manifest_file.hpp"

#include <fcntl.h>

#include "images.hpp"

using namespace umbra;

namespace {

model::PartManifest some_manifest(std::size_t blocks) {
  model::PartManifest manifest{{test::vda, {blocks * model::block_size}}, base::DigestList(blocks)};
  for (std::size_t i = 0; i < blocks; ++i) {
    base::Digest digest;
    digest.bytes[i % 32] = static_cast<std::byte>(i + 1);
    if (i / base::DigestList::page_digests % 3 != 1) manifest.blocks.set(i, digest);
  }
  return manifest;
}

}  // namespace

TEST_CASE("a manifest file gives back what was written") {
  const test::Scratch scratch;
  for (const std::size_t blocks : {1u, 2u, 1000u, 1024u, 1025u, 2000u, 5000u}) {
    const auto manifest = some_manifest(blocks);
    const std::filesystem::path file = scratch / std::to_string(blocks);
    nbd::write_manifest_file(file, manifest);
    const model::PartManifest read = nbd::read_manifest_file(file, manifest.part);
    CHECK(read.blocks == manifest.blocks);
    CHECK(model::root_of({{read}}) == model::root_of({{manifest}}));
    CHECK_NOTHROW(nbd::look_at_manifest_file(file, manifest.part));
    std::filesystem::copy_file(file, scratch / "copy");
    CHECK(nbd::read_manifest_file(scratch / "copy", manifest.part).blocks == manifest.blocks);
    std::filesystem::remove(scratch / "copy");
  }
}

TEST_CASE("the manifest of an empty disk, however large, takes no room and no time") {
  const test::Scratch scratch;
  model::PartManifest manifest{{test::vda, {model::most_size}}, base::DigestList(model::most_size / model::block_size)};
  nbd::write_manifest_file(scratch / "empty", manifest);
  CHECK(std::filesystem::file_size(scratch / "empty") == 72);
  manifest.blocks.set(manifest.blocks.size() - 1, base::sha256({}));
  nbd::write_manifest_file(scratch / "one", manifest);
  CHECK(std::filesystem::file_size(scratch / "one") == 72 + 8 + 1024 * 32);
  CHECK(nbd::read_manifest_file(scratch / "one", manifest.part).blocks == manifest.blocks);
}

TEST_CASE("reading and writing a manifest ends when a stop is asked for") {
  const test::Scratch scratch;
  const auto manifest = some_manifest(5000);
  nbd::write_manifest_file(scratch / "m", manifest);
  base::CancelToken cancel;
  cancel.request(15);
  CHECK(test::error_of([&] { nbd::read_manifest_file(scratch / "m", manifest.part, &cancel); }).kind() ==
        base::Kind::cancelled);
  CHECK(test::error_of([&] { nbd::write_manifest_file(scratch / "n", manifest, &cancel); }).kind() ==
        base::Kind::cancelled);
}

TEST_CASE("pages out of turn, twice, or of zeroes alone are damage, also where the file's own digest is right") {
  const test::Scratch scratch;
  const auto manifest = some_manifest(3000);
  nbd::write_manifest_file(scratch / "m", manifest);
  const std::string sound = base::read_text_file(scratch / "m");
  constexpr std::size_t head = 72, page = 8 + 1024 * 32;
  // Pages 0 and 2 are there; the second one is short.
  const auto refused = [&](std::string changed) {
    std::string covered = changed.substr(0, 40);
    for (std::size_t at = head; at < changed.size(); at += page) {
      const std::string digests = changed.substr(at + 8, page - 8);
      const base::Digest digest = base::sha256(std::as_bytes(std::span(digests)));
      covered += changed.substr(at, 8);
      covered.append(reinterpret_cast<const char*>(digest.bytes.data()), 32);
    }
    const base::Digest own = base::sha256(std::as_bytes(std::span(covered)));
    changed.replace(40, 32, reinterpret_cast<const char*>(own.bytes.data()), 32);
    base::write_file_atomic(scratch / "changed", changed);
    try {
      nbd::read_manifest_file(scratch / "changed", manifest.part);
      return false;
    } catch (const base::Error& e) {
      return e.kind() == base::Kind::corrupt;
    }
  };
  CHECK_FALSE(refused(sound));
  const auto with = [&](std::size_t at, std::string bytes) {
    return std::string(sound).replace(at, bytes.size(), bytes);
  };
  CHECK(refused(with(head, "\x02")));                           // both say that they are page 2
  CHECK(refused(with(head + page, std::string(1, '\0'))));      // both say that they are page 0
  CHECK(refused(with(head + page, "\x03")));                    // there is no page 3
  CHECK(refused(with(head + 8, std::string(page - 8, '\0'))));  // a page of zeroes
  CHECK(refused(with(24, "\x01")));                             // fewer pages than there are
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
