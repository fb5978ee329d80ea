// SPDX-License-Identifier: Apache-2.0
// A layer that holds nothing yet is written by this process: a block of a point is a cluster of qcow2, blocks come in
// rising order and once, so each is appended to the file and noted in a table. What a server between would do, and copy
// twice, is not needed. The format is that of qcow2_file.hpp. Every file is read back by QEMU's map of it before
// anything is built on it.
//
// At every instant the file is one that QEMU opens: counts are written before the tables that refer to what they count,
// tables after what they name. A process that is killed leaves what it noted last.

#include <endian.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "adapters/nbd/part_writer.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "base/fd.hpp"
#include "model/points.hpp"

namespace umbra::nbd {
namespace {

using base::Error;
using base::Kind;

using qcow2::cluster;
using qcow2::table_entries;

static_assert(cluster == model::block_size);
constexpr std::uint64_t counts = cluster / 2;             // in a block of reference counts of 16 bits
constexpr std::uint64_t most_count_blocks = cluster / 8;  // in the one cluster that names them
constexpr std::uint64_t exactly_once = 1ull << 63;        // the cluster's count is 1
constexpr std::uint64_t reads_as_zero = 1;
constexpr std::uint64_t note_after = 32u << 20;  // what a killed process loses of its work

struct Shape {
  std::uint64_t size = 0;           ///< of the disk
  std::uint64_t first_entries = 0;  ///< of the first-level table
  std::uint64_t used = 0;           ///< clusters of the file
};

/// What a new and empty file's header tells; nothing where it is otherwise than this writer expects.
std::optional<Shape> shape_of(int fd, std::string_view what) {
  const std::optional<qcow2::Header> header = qcow2::read_header(fd, what);
  if (!header || header->first_level != qcow2::first_level_at || header->names_of_counts != qcow2::names_of_counts_at ||
      header->name_clusters != 1)
    return std::nullopt;
  Shape shape{header->size.value, header->first_entries, 0};
  shape.used = qcow2::first_level_at / cluster + (shape.first_entries * 8 + cluster - 1) / cluster;
  const std::uint64_t clusters = (shape.size + cluster - 1) / cluster;
  const std::uint64_t tables = (clusters + table_entries - 1) / table_entries;
  if (shape.used + clusters + tables + most_count_blocks > most_count_blocks * counts) return std::nullopt;
  struct stat status {};
  if (::fstat(fd, &status) != 0 || static_cast<std::uint64_t>(status.st_size) > shape.used * cluster)
    return std::nullopt;
  return shape;
}

class FreshLayer final : public PartWriter {
 public:
  FreshLayer(std::filesystem::path layer, base::UniqueFd fd, const Shape& shape)
      : m_layer(std::move(layer)),
        m_fd(std::move(fd)),
        m_size(shape.size),
        m_first(shape.first_entries),
        m_table(table_entries),
        m_count_blocks{qcow2::first_counts_at},
        m_next(shape.used),
        m_noted(shape.used) {}

  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    for (; !data.empty(); offset += cluster) {
      const auto piece = data.first(std::min<std::size_t>(data.size(), cluster));
      std::uint64_t& entry = entry_of(offset);
      const std::uint64_t place = allocate();
      put(place, piece);
      entry = htobe64(place | exactly_once);
      data = data.subspan(piece.size());
    }
    if ((m_next - m_noted) * cluster >= note_after) {
      const std::uint64_t from = m_noted * cluster;
      note();
      ::sync_file_range(m_fd.get(), static_cast<off_t>(from), note_after, SYNC_FILE_RANGE_WRITE);  // it begins early
    }
  }

  void zero(std::uint64_t offset, std::uint64_t length) override {
    for (const std::uint64_t end = offset + length; offset < end; offset += cluster)
      entry_of(offset) = htobe64(reads_as_zero);
  }

  void read(std::uint64_t offset, std::span<std::byte> buffer) override {
    QemuNbd server({.path = m_layer, .format = "qcow2"});
    Connection connection;
    server.connect(connection);
    connection.read(offset, buffer);
    connection.shut_down();
  }

  void drain() override { note(); }

  void finish() override {
    note();
    base::sync_fd(m_fd.get(), m_layer.string());
    m_fd.reset();
  }

 private:
  void put(std::uint64_t at, std::span<const std::byte> data) {
    base::write_at(m_fd.get(), at, data, m_layer.native());
  }

  /// The place of the next cluster of the file. Counts lie among what they count.
  std::uint64_t allocate() {
    if (m_next / counts == m_count_blocks.size()) m_count_blocks.push_back(m_next++ * cluster);
    return m_next++ * cluster;
  }

  /// The entry of the cluster at `offset`, in the table under way.
  std::uint64_t& entry_of(std::uint64_t offset) {
    const std::uint64_t number = offset / cluster;
    if (offset % cluster != 0 || offset >= m_size || number < m_rising)
      throw Error(Kind::internal, fmt::format("{} is written at offset {}, out of turn", m_layer.string(), offset));
    if (number / table_entries != m_table_number || m_first[m_table_number] == 0) {
      note();
      m_table_number = number / table_entries;
      m_first[m_table_number] = allocate();
      std::fill(m_table.begin(), m_table.end(), 0);
      m_unwritten = number % table_entries;
    }
    m_rising = number + 1;
    return m_table[number % table_entries];
  }

  /// Notes in the file what was written to it: counts first.
  void note() {
    write_counts();
    if (m_next > m_noted) {
      if (::ftruncate(m_fd.get(), static_cast<off_t>(m_next * cluster)) != 0)
        throw base::from_errno(errno, fmt::format("set the size of {}", m_layer.string()));
    }
    m_noted = m_next;
    const std::uint64_t table = m_first[m_table_number];
    const std::uint64_t end = m_rising == 0 ? 0 : (m_rising - 1) % table_entries + 1;
    if (table == 0 || m_unwritten >= end) return;
    put(table + m_unwritten * 8, std::as_bytes(std::span(m_table).subspan(m_unwritten, end - m_unwritten)));
    const std::uint64_t entry = htobe64(table | exactly_once);
    put(qcow2::first_level_at + m_table_number * 8, std::as_bytes(std::span(&entry, 1)));
    m_unwritten = end;
  }

  void write_counts() {
    const std::vector<std::uint16_t> ones(counts, htobe16(1));
    for (std::uint64_t at = m_noted; at < m_next;) {
      const std::uint64_t block = at / counts;
      const std::uint64_t end = std::min(m_next, (block + 1) * counts);
      put(m_count_blocks[block] + at % counts * 2, std::as_bytes(std::span(ones).first(end - at)));
      const std::uint64_t name = htobe64(m_count_blocks[block]);
      if (at % counts == 0) put(qcow2::names_of_counts_at + block * 8, std::as_bytes(std::span(&name, 1)));
      at = end;
    }
  }

  std::filesystem::path m_layer;
  base::UniqueFd m_fd;
  std::uint64_t m_size;
  std::vector<std::uint64_t> m_first;  ///< where each second-level table lies; 0: nowhere yet
  std::vector<std::uint64_t> m_table;  ///< the one under way, as in the file
  std::uint64_t m_table_number = 0;
  std::uint64_t m_unwritten = 0;              ///< entries of it below are in the file
  std::uint64_t m_rising = 0;                 ///< clusters of the disk below are done
  std::vector<std::uint64_t> m_count_blocks;  ///< where they lie
  std::uint64_t m_next;                       ///< the file's first free cluster
  std::uint64_t m_noted;                      ///< clusters below are counted in the file
};

}  // namespace

std::unique_ptr<PartWriter> open_fresh_layer(const std::filesystem::path& layer) {
  base::UniqueFd fd = base::open_file(layer, O_RDWR);
  const std::optional<Shape> shape = shape_of(fd.get(), layer.string());
  if (!shape) return nullptr;
  std::vector<std::byte> first(shape->first_entries * 8);
  const std::size_t n = base::read_at(fd.get(), qcow2::first_level_at, first, layer.string());
  if (!base::all_zero(std::span(first).first(n))) return nullptr;
  return std::make_unique<FreshLayer>(layer, std::move(fd), *shape);
}

}  // namespace umbra::nbd
