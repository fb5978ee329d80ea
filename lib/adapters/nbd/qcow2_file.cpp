// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/qcow2_file.hpp"

#include <endian.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <span>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd::qcow2 {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t magic = 0x514649fb;  // "QFI\xfb"
constexpr std::uint32_t header_length = 112;
constexpr std::uint32_t cluster_bits = 16;
constexpr std::uint32_t count_bits = 4;  // 2^4 bits for each count
constexpr std::uint32_t most_backing = 1023;
constexpr std::uint32_t format_extension = 0xe2792aca;
constexpr std::uint32_t features_extension = 0x6803f857;  // names of features, for people
constexpr std::size_t most_files = 64;                    // of a chain that is followed here
constexpr std::uint64_t most_first_level = 32u << 20;     // bytes: what QEMU takes

std::uint32_t number32(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return be32toh(value);
}
std::uint64_t number64(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return be64toh(value);
}
std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_plain(std::span<const std::byte> bytes) {
  const std::uint32_t length = number32(bytes, 100);
  return number32(bytes, 0) == magic && number32(bytes, 4) == 3 && number32(bytes, 20) == cluster_bits &&
         number32(bytes, 32) == 0 /* encryption */ && number32(bytes, 60) == 0 /* snapshots */ &&
         number64(bytes, 72) == 0 /* features that a reader must know */ && number64(bytes, 88) == 0 &&
         number32(bytes, 96) == count_bits && length >= 104 && length % 8 == 0 && length <= header_length;
}

/// Reads what follows the header's numbers. False where there is something that is not known here.
bool read_extensions(std::span<const std::byte> bytes, Header& header) {
  for (std::size_t at = number32(bytes, 100); at + 8 <= bytes.size();) {
    const std::uint32_t kind = number32(bytes, at);
    const std::uint32_t length = number32(bytes, at + 4);
    at += 8;
    if (kind == 0) return length == 0;
    if (length > bytes.size() - at) return false;
    if (kind == format_extension)
      header.backing_format = text(bytes.subspan(at, length));
    else if (kind != features_extension)
      return false;
    at += (length + 7) / 8 * 8;
  }
  return false;
}

bool lies_within(std::uint64_t at, std::uint64_t length, std::uint64_t end) {
  return at != 0 && at % cluster == 0 && at < end && length <= end - at;
}

/// For writing: numbers one after the other.
class Numbers {
 public:
  Numbers& u32(std::uint32_t value) { return raw(htobe32(value)); }
  Numbers& u64(std::uint64_t value) { return raw(htobe64(value)); }
  Numbers& padded(std::string_view words) {
    append(std::as_bytes(std::span(words.data(), words.size())));
    m_bytes.resize((m_bytes.size() + 7) / 8 * 8);
    return *this;
  }
  const std::vector<std::byte>& bytes() const { return m_bytes; }

 private:
  template <class Number>
  Numbers& raw(Number value) {
    append(std::as_bytes(std::span(&value, 1)));
    return *this;
  }
  void append(std::span<const std::byte> bytes) { m_bytes.insert(m_bytes.end(), bytes.begin(), bytes.end()); }
  std::vector<std::byte> m_bytes;
};

std::vector<std::byte> header_of(model::ByteCount size, std::uint64_t first_entries, const std::string& backing) {
  constexpr std::string_view format = "qcow2";
  // The header, the format's extension, that of the end; then the name.
  const std::uint64_t backing_at = header_length + (backing.empty() ? 0 : 8 + 8) + 8;
  Numbers header;
  header.u32(magic).u32(3);
  header.u64(backing.empty() ? 0 : backing_at).u32(static_cast<std::uint32_t>(backing.size()));
  header.u32(cluster_bits).u64(size.value).u32(0);
  header.u32(static_cast<std::uint32_t>(first_entries)).u64(first_level_at);
  header.u64(names_of_counts_at).u32(1);
  header.u32(0).u64(0);         // snapshots
  header.u64(0).u64(0).u64(0);  // features
  header.u32(count_bits).u32(header_length).u64(0);
  if (!backing.empty()) header.u32(format_extension).u32(format.size()).padded(format);
  header.u64(0).padded(backing);
  return header.bytes();
}

}  // namespace

std::optional<Header> read_header(int fd, std::string_view what) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  std::vector<std::byte> buffer(4096);
  buffer.resize(base::read_at(fd, 0, buffer, what));
  if (buffer.size() < header_length || !is_plain(buffer)) return std::nullopt;
  Header header;
  if (!read_extensions(buffer, header)) return std::nullopt;
  const std::uint64_t backing_at = number64(buffer, 8);
  const std::uint32_t backing_length = number32(buffer, 16);
  if (backing_at != 0) {
    if (backing_length > most_backing || backing_at > buffer.size() || backing_length > buffer.size() - backing_at)
      return std::nullopt;
    header.backing = text(std::span(buffer).subspan(backing_at, backing_length));
  }
  header.size = {number64(buffer, 24)};
  header.first_entries = number32(buffer, 36);
  header.first_level = number64(buffer, 40);
  header.names_of_counts = number64(buffer, 48);
  header.name_clusters = number32(buffer, 56);
  const std::uint64_t clusters = header.size.value / cluster + (header.size.value % cluster != 0 ? 1 : 0);
  const std::uint64_t needed = clusters / table_entries + (clusters % table_entries != 0 ? 1 : 0);
  const std::uint64_t first_bytes = header.first_entries * 8;
  const bool holds = header.size.value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) &&
                     header.first_entries >= needed && first_bytes <= most_first_level &&
                     (first_bytes == 0 || lies_within(header.first_level, first_bytes, file_size)) &&
                     header.name_clusters > 0 && lies_within(header.names_of_counts, 8, file_size);
  return holds ? std::optional(std::move(header)) : std::nullopt;
}

std::optional<File> plain_file(const fs::path& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  auto header = read_header(fd.get(), path.native());
  if (!header) return std::nullopt;
  return File{fs::absolute(path).lexically_normal(), *std::move(header)};
}

std::optional<fs::path> backing_of(const File& file) {
  const std::string& name = file.header.backing;
  if (name.empty()) return fs::path();
  const std::size_t colon = name.find(':');
  if (colon != std::string::npos && colon < name.find('/')) return std::nullopt;  // a protocol's
  return (file.path.parent_path() / name).lexically_normal();
}

std::optional<std::vector<File>> plain_chain(const fs::path& top) {
  std::vector<File> files;
  for (fs::path next = top; !next.empty();) {
    if (files.size() == most_files) return std::nullopt;
    auto file = plain_file(next);
    if (!file) return std::nullopt;
    const auto backing = backing_of(*file);
    if (!backing || (!backing->empty() && file->header.backing_format != "qcow2")) return std::nullopt;
    next = *backing;
    files.push_back(*std::move(file));
  }
  return files;
}

void create(const fs::path& path, model::ByteCount size, const std::optional<std::string>& backing) {
  if (backing && (backing->empty() || backing->size() > most_backing))
    throw base::Error(base::Kind::invalid,
                      fmt::format("{} can't name its backing file \"{}\"", path.string(), *backing));
  const std::uint64_t in_first_entry = table_entries * cluster;
  const std::uint64_t first_entries = (size.value + in_first_entry - 1) / in_first_entry;
  const std::uint64_t first_clusters = std::max<std::uint64_t>((first_entries * 8 + cluster - 1) / cluster, 1);
  const std::uint64_t used = first_level_at / cluster + first_clusters;
  const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (::ftruncate(fd.get(), static_cast<off_t>(used * cluster)) != 0)
    throw base::from_errno(errno, fmt::format("create {}", path.string()));
  Numbers name_of_counts;
  name_of_counts.u64(first_counts_at);
  base::write_at(fd.get(), names_of_counts_at, name_of_counts.bytes(), path.native());
  const std::vector<std::uint16_t> ones(used, htobe16(1));
  base::write_at(fd.get(), first_counts_at, std::as_bytes(std::span(ones)), path.native());
  base::write_at(fd.get(), 0, header_of(size, first_entries, backing.value_or("")), path.native());
}

}  // namespace umbra::nbd::qcow2
