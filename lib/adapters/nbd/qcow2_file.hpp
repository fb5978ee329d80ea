// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: what this process reads and writes of a qcow2's metadata itself. That is the plain kind
// alone, as passes make it: version 3, clusters of 64 KiB, no encryption, snapshots, bitmaps or feature that a reader
// must know. Of any other file QEMU is asked. The format is that of QEMU's docs/interop/qcow2.txt; numbers in it are
// big-endian.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/ids.hpp"

namespace umbra::nbd::qcow2 {

inline constexpr std::uint64_t cluster = 65536;
inline constexpr std::uint64_t table_entries = cluster / 8;  ///< of a second-level table: 512 MiB of the disk

// Where a new file has them: what it begins with, in clusters.
inline constexpr std::uint64_t names_of_counts_at = 1 * cluster;
inline constexpr std::uint64_t first_counts_at = 2 * cluster;
inline constexpr std::uint64_t first_level_at = 3 * cluster;

struct Header {
  model::ByteCount size;            ///< of the disk
  std::uint64_t first_level = 0;    ///< where the first-level table lies
  std::uint64_t first_entries = 0;  ///< of it
  std::uint64_t names_of_counts = 0;
  std::uint64_t name_clusters = 0;  ///< of the table that names the blocks of counts
  std::string backing;              ///< as written; empty where it stands alone
  std::string backing_format;
};

/// Nothing where the file is anything but plain, or its header does not hold together. `what` names it in failures.
std::optional<Header> read_header(int fd, std::string_view what);

struct File {
  std::filesystem::path path;  ///< absolute
  Header header;
};

/// The files of a chain that is plain from end to end, nearest first; nothing where one of them can't be opened or is
/// not so.
std::optional<std::vector<File>> plain_chain(const std::filesystem::path& top);
/// The same of the first file alone.
std::optional<File> plain_file(const std::filesystem::path& path);
/// Where the backing file lies; empty where there is none, nothing where it is no file's name.
std::optional<std::filesystem::path> backing_of(const File& file);

/// Makes an empty file as qemu-img does, over a qcow2 where `backing` is given: as it shall stand in the header.
/// Kind::no_space, Kind::io with the file named; one that is there is overwritten.
void create(const std::filesystem::path& path, model::ByteCount size, const std::optional<std::string>& backing);

}  // namespace umbra::nbd::qcow2
