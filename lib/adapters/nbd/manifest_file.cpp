// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/manifest_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

using base::Error;
using base::Kind;

constexpr std::string_view magic = "UMBRADIG";
constexpr std::uint64_t version = 1;
constexpr std::size_t plain_size = 32;  // before the file's own digest
constexpr std::size_t header_size = 64;
using Header = std::array<std::byte, header_size>;

void put(Header& header, std::size_t at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) header[at + i] = static_cast<std::byte>(value >> (8 * i));
}

Header plain_header(const model::Part& part, std::uint64_t count) {
  Header header{};
  std::memcpy(header.data(), magic.data(), magic.size());
  put(header, 8, version, 4);
  put(header, 12, model::block_size, 4);
  put(header, 16, part.size.value, 8);
  put(header, 24, count, 8);
  return header;
}

base::Digest digest_of(const Header& header, std::span<const base::Digest> blocks) {
  base::Sha256 hash;
  hash.update(std::span(header).first(plain_size));
  hash.update(std::as_bytes(blocks));
  return hash.finish();
}

[[noreturn]] void corrupt(const std::filesystem::path& path, std::string_view what) {
  throw Error(Kind::corrupt, fmt::format("the manifest {} {}", path.string(), what));
}

}  // namespace

std::uint64_t manifest_file_size(const model::Part& part) {
  return header_size + model::blocks_in(part.size) * sizeof(base::Digest);
}

void write_manifest_file(const std::filesystem::path& path, const model::PartManifest& manifest) {
  Header header = plain_header(manifest.part, manifest.blocks.size());
  const base::Digest digest = digest_of(header, manifest.blocks);
  std::memcpy(header.data() + plain_size, digest.bytes.data(), digest.bytes.size());
  const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT | O_EXCL);
  base::write_all(fd.get(), std::span<const std::byte>(header), path.string());
  base::write_all(fd.get(), std::as_bytes(std::span(manifest.blocks)), path.string());
  base::sync_fd(fd.get(), path.string());
}

model::PartManifest read_manifest_file(const std::filesystem::path& path, const model::Part& part) {
  const base::UniqueFd fd = base::open_file(path, O_RDONLY);
  Header header{};
  if (base::read_full(fd.get(), header, path.string()) != header.size()) corrupt(path, "is cut short");
  const std::uint64_t count = model::blocks_in(part.size);
  const Header expected = plain_header(part, count);
  if (std::memcmp(header.data(), expected.data(), plain_size) != 0) corrupt(path, "has a wrong header");
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw base::from_errno(errno, fmt::format("look at {}", path.string()));
  // The file's own length bounds the memory, not a number that is written in it.
  if (static_cast<std::uint64_t>(status.st_size) != manifest_file_size(part)) corrupt(path, "has a wrong length");
  model::PartManifest manifest{part, std::vector<base::Digest>(count)};
  const auto body = std::as_writable_bytes(std::span(manifest.blocks));
  if (base::read_full(fd.get(), body, path.string()) != body.size()) corrupt(path, "is cut short");
  const base::Digest digest = digest_of(expected, manifest.blocks);
  if (std::memcmp(header.data() + plain_size, digest.bytes.data(), digest.bytes.size()) != 0)
    corrupt(path, "does not match its own digest");
  return manifest;
}

}  // namespace umbra::nbd
