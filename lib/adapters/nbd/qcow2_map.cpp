// SPDX-License-Identifier: Apache-2.0
// The map of a plain chain, by its own tables: a disk's clusters are entries of second-level tables, each named by an
// entry of the first-level one. A cluster that a file does not hold is the next file's.

#include <endian.h>
#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "adapters/nbd/cluster_map.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using qcow2::cluster;
using qcow2::table_entries;

constexpr std::uint64_t place_bits = 0x00fffffffffffe00;
constexpr std::uint64_t packed_bit = 1ull << 62;
constexpr std::uint64_t zero_bit = 1;

/// The tables of one file: the first-level one, and that of the second level which was looked at last.
class Tables {
 public:
  explicit Tables(qcow2::File file) : m_file(std::move(file)), m_fd(base::open_file(m_file.path, O_RDONLY)) {
    m_first = read(m_file.header.first_level, m_file.header.first_entries);
  }

  enum class Holds { nothing, zeroes, data, packed };
  struct Run {
    Holds what = Holds::nothing;
    std::uint64_t place = 0;
    std::uint64_t length = 0;
  };

  const fs::path& path() const { return m_file.path; }
  std::uint64_t size() const { return m_file.header.size.value; }

  /// What the file holds from a cluster's `offset` on, as far as it is alike, up to `most` bytes.
  Run at(std::uint64_t offset, std::uint64_t most) {
    const std::uint64_t number = offset / cluster;
    const std::uint64_t first = number % table_entries;
    const std::uint64_t end = std::min(first + (most + cluster - 1) / cluster, table_entries);
    std::uint64_t next = first + 1;
    Run run;
    if (!open_table(number / table_entries)) {
      next = end;
    } else {
      run = entry(first);
      for (; next < end && follows(run, next - first, entry(next)); ++next) {
      }
    }
    run.length = std::min(most, (next - first) * cluster);
    return run;
  }

 private:
  /// False where the file holds nothing that the table would name.
  bool open_table(std::uint64_t number) {
    const std::uint64_t place = checked(m_first.at(number) & place_bits);
    if (place == 0) return false;
    if (number == m_number) return true;
    m_number = none;
    m_table = read(place, table_entries);
    m_number = number;
    return true;
  }

  Run entry(std::uint64_t at) const {
    const std::uint64_t value = m_table[at];
    if (value == 0) return {};
    if ((value & packed_bit) != 0) return {Holds::packed, 0, 0};
    const std::uint64_t place = checked(value & place_bits);
    if ((value & zero_bit) != 0) return {Holds::zeroes, 0, 0};
    return place == 0 ? Run{} : Run{Holds::data, place, 0};
  }

  static bool follows(const Run& run, std::uint64_t entries, const Run& next) {
    return next.what == run.what && (run.what != Holds::data || next.place == run.place + entries * cluster);
  }

  std::uint64_t checked(std::uint64_t place) const {
    if (place % cluster != 0) throw Error(Kind::io, fmt::format("the tables of {} are damaged", m_file.path.string()));
    return place;
  }

  std::vector<std::uint64_t> read(std::uint64_t at, std::uint64_t entries) const {
    std::vector<std::uint64_t> table(entries);
    const auto bytes = std::as_writable_bytes(std::span(table));
    if (base::read_at(m_fd.get(), at, bytes, m_file.path.native()) != bytes.size())
      throw Error(Kind::io, fmt::format("{} ends within its tables", m_file.path.string()));
    for (std::uint64_t& value : table) value = be64toh(value);
    return table;
  }

  static constexpr std::uint64_t none = ~0ull;
  qcow2::File m_file;
  base::UniqueFd m_fd;
  std::vector<std::uint64_t> m_first;
  std::vector<std::uint64_t> m_table;
  std::uint64_t m_number = none;  ///< of the table
};

class PlainChain final : public ClusterMap {
 public:
  PlainChain(std::vector<Tables> files, std::uint32_t depth) : m_files(std::move(files)), m_depth(depth) {}

  model::ByteCount size() const override { return {m_files.front().size()}; }
  const fs::path& file(std::uint32_t nth) const override { return m_files.at(nth).path(); }

  Stretch at(std::uint64_t offset) override {
    Stretch stretch{offset, size().value - offset, 0, 0, true, false, false};
    const std::uint64_t within = offset % cluster;
    for (Tables& file : m_files) {
      if (offset >= file.size()) break;  // what lies past its end reads as zeroes, and counts as its own
      const Tables::Run run = file.at(offset - within, within + std::min(stretch.length, file.size() - offset));
      stretch.length = run.length - within;
      stretch.place = run.place + within;
      stretch.zero = run.what == Tables::Holds::nothing || run.what == Tables::Holds::zeroes;
      stretch.is_packed = run.what == Tables::Holds::packed;
      if (run.what != Tables::Holds::nothing) break;
      ++stretch.file;
    }
    stretch.changed = m_depth == 0 || (stretch.file < m_depth && stretch.file < m_files.size());
    return stretch;
  }

 private:
  std::vector<Tables> m_files;
  std::uint32_t m_depth;
};

}  // namespace

std::unique_ptr<ClusterMap> map_of_plain_chain(const fs::path& image, std::uint32_t depth) {
  auto chain = qcow2::plain_chain(image);
  if (!chain) return nullptr;
  std::vector<Tables> files;
  for (qcow2::File& file : *chain) {
    if (qemu_img::is_writable_elsewhere(file.path)) return nullptr;
    files.emplace_back(std::move(file));
  }
  return std::make_unique<PlainChain>(std::move(files), depth);
}

}  // namespace umbra::nbd
