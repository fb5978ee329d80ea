// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/manifest_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

using base::DigestList;
using base::Error;
using base::Kind;

constexpr std::string_view magic = "UMBRADIG";
constexpr std::uint64_t version = 2;
constexpr std::size_t fixed_size = 24;  // what the part alone tells
constexpr std::size_t plain_size = 40;  // before the file's own digest
constexpr std::size_t header_size = 72;
constexpr std::size_t number_size = 8;
using Header = std::array<std::byte, header_size>;
using Number = std::array<std::byte, number_size>;

void put(std::span<std::byte> at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

std::uint64_t number_at(std::span<const std::byte> at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < number_size; ++i) value |= std::to_integer<std::uint64_t>(at[i]) << (8 * i);
  return value;
}

Header plain_header(const model::Part& part, std::uint64_t pages, std::uint64_t digests) {
  Header header{};
  const std::span bytes(header);
  std::memcpy(header.data(), magic.data(), magic.size());
  put(bytes.subspan(8), version, 4);
  put(bytes.subspan(12), model::block_size, 4);
  put(bytes.subspan(16), part.size.value, 8);
  put(bytes.subspan(24), pages, 8);
  put(bytes.subspan(32), digests, 8);
  return header;
}

/// The file's own digest, page by page.
class Check {
 public:
  explicit Check(const Header& header) { m_hash.update(std::span(header).first(plain_size)); }
  void page(std::uint64_t number, const base::Digest& digest) {
    Number bytes{};
    put(bytes, number, number_size);
    m_hash.update(bytes);
    m_hash.update(digest.bytes);
  }
  base::Digest finish() { return m_hash.finish(); }

 private:
  base::Sha256 m_hash;
};

void look_at(const base::CancelToken* cancel) {
  if (cancel != nullptr) cancel->check();
}

[[noreturn]] void corrupt(const std::filesystem::path& path, std::string_view what) {
  throw Error(Kind::corrupt, fmt::format("the manifest {} {}", path.string(), what));
}

/// Digests in the pages that are held: of the last one fewer.
std::uint64_t digests_held(const DigestList& blocks) {
  const std::uint64_t last = blocks.pages() - 1;
  std::uint64_t digests = blocks.pages_held() * DigestList::page_digests;
  if (blocks.pages() > 0 && blocks.next_page(last) == last)
    digests -= DigestList::page_digests - blocks.digests_in(last);
  return digests;
}

/// The header, once it is sure that the file is as long as it tells: that bounds what is read.
Header read_header(int fd, const std::filesystem::path& path, const model::Part& part) {
  Header header{};
  if (base::read_full(fd, header, path.string()) != header.size()) corrupt(path, "is cut short");
  const std::uint64_t pages = number_at(std::span(header).subspan(24));
  const std::uint64_t digests = number_at(std::span(header).subspan(32));
  const Header expected = plain_header(part, pages, digests);
  const std::uint64_t blocks = model::blocks_in(part.size);
  if (std::memcmp(header.data(), expected.data(), fixed_size) != 0 || pages > digests || digests > blocks)
    corrupt(path, "has a wrong header");
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw base::from_errno(errno, fmt::format("look at {}", path.string()));
  if (static_cast<std::uint64_t>(status.st_size) != header_size + pages * number_size + digests * sizeof(base::Digest))
    corrupt(path, "has a wrong length");
  return header;
}

}  // namespace

void write_manifest_file(const std::filesystem::path& path, const model::PartManifest& manifest,
                         const base::CancelToken* cancel) {
  const DigestList& blocks = manifest.blocks;
  Header header = plain_header(manifest.part, blocks.pages_held(), digests_held(blocks));
  Check check(header);
  for (std::uint64_t page = blocks.next_page(0); page < blocks.pages(); page = blocks.next_page(page + 1)) {
    look_at(cancel);
    check.page(page, blocks.digest_of(page));
  }
  const base::Digest digest = check.finish();
  std::memcpy(header.data() + plain_size, digest.bytes.data(), digest.bytes.size());

  const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT | O_EXCL);
  base::write_all(fd.get(), std::span<const std::byte>(header), path.string());
  std::vector<base::Digest> digests;
  for (std::uint64_t page = blocks.next_page(0); page < blocks.pages(); page = blocks.next_page(page + 1)) {
    look_at(cancel);
    blocks.read_page(page, digests);
    Number number{};
    put(number, page, number_size);
    base::write_all(fd.get(), std::span<const std::byte>(number), std::as_bytes(std::span(digests)), path.string());
  }
  base::sync_fd(fd.get(), path.string());
}

model::PartManifest read_manifest_file(const std::filesystem::path& path, const model::Part& part,
                                       const base::CancelToken* cancel) {
  const base::UniqueFd fd = base::open_file(path, O_RDONLY);
  const Header header = read_header(fd.get(), path, part);
  Check check(header);
  model::PartManifest manifest{part, DigestList(model::blocks_in(part.size))};
  DigestList& blocks = manifest.blocks;
  std::vector<base::Digest> digests;
  std::uint64_t next = 0;
  for (std::uint64_t left = number_at(std::span(header).subspan(24)); left > 0; --left) {
    look_at(cancel);
    Number number{};
    if (base::read_full(fd.get(), number, path.string()) != number.size()) corrupt(path, "is cut short");
    const std::uint64_t page = number_at(number);
    if (page < next || page >= blocks.pages()) corrupt(path, "has a page out of turn");
    digests.resize(blocks.digests_in(page));
    const auto body = std::as_writable_bytes(std::span(digests));
    if (base::read_full(fd.get(), body, path.string()) != body.size()) corrupt(path, "is cut short");
    blocks.write_page(page, digests);
    check.page(page, blocks.digest_of(page));
    next = page + 1;
  }
  if (digests_held(blocks) != number_at(std::span(header).subspan(32)) ||
      blocks.pages_held() != number_at(std::span(header).subspan(24)))
    corrupt(path, "has a page of zeroes, or too few digests");
  const base::Digest digest = check.finish();
  if (std::memcmp(header.data() + plain_size, digest.bytes.data(), digest.bytes.size()) != 0)
    corrupt(path, "does not match its own digest");
  return manifest;
}

void look_at_manifest_file(const std::filesystem::path& path, const model::Part& part) {
  read_header(base::open_file(path, O_RDONLY).get(), path, part);
}

}  // namespace umbra::nbd
