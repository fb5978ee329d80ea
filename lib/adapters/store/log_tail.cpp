// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/log_tail.hpp"

#include <fcntl.h>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "base/fd.hpp"

namespace umbra::store {
namespace {

constexpr std::size_t header_size = 32;
constexpr std::size_t frame_header_size = 24;
constexpr std::uint32_t magic = 0x377f0682;  // the lowest bit: checksums are of big-endian words
constexpr std::uint32_t format = 3007000;

using Bytes = std::span<const std::byte>;

std::uint32_t word(Bytes bytes, std::size_t at, bool big_endian = true) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto byte = std::to_integer<std::uint32_t>(bytes[at + i]);
    value |= byte << 8 * (big_endian ? 3 - i : i);
  }
  return value;
}

/// The format's running checksum.
struct Sum {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  bool big_endian = false;

  void add(Bytes bytes) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first += word(bytes, at, big_endian) + second;
      second += word(bytes, at + 4, big_endian) + first;
    }
  }
  bool is_at(Bytes bytes, std::size_t at) const { return first == word(bytes, at) && second == word(bytes, at + 4); }
};

/// A log under way: what the header says, and the sum of all frames so far.
struct Reader {
  base::UniqueFd file;
  std::uint64_t size = 0;
  std::size_t page = 0;
  std::array<std::byte, 8> salts{};
  Sum sum;

  std::uint64_t frame_size() const { return frame_header_size + page; }
  /// Fewer bytes at the end of the file.
  std::vector<std::byte> frame_at(std::uint64_t at) const {
    std::vector<std::byte> frame(frame_size());
    frame.resize(base::read_at(file.get(), at, frame, "the database's log"));
    return frame;
  }
};

bool is_commit(Bytes frame) {
  return word(frame, 4) != 0;
}

/// Whose a frame is. When a log is begun anew, both salts change: one alone never does.
enum class Owner { this_log, an_older_log, nobody };

Owner owner_of(const Reader& log, Bytes frame) {
  const bool first = word(frame, 8) == word(log.salts, 0);
  const bool second = word(frame, 12) == word(log.salts, 4);
  if (first != second) return Owner::nobody;
  return first ? Owner::this_log : Owner::an_older_log;
}

/// Goes on with the sum where the frame is whole.
bool is_whole(Reader& log, Bytes frame) {
  if (word(frame, 0) == 0) return false;
  Sum sum = log.sum;
  sum.add(frame.first(8));
  sum.add(frame.subspan(frame_header_size));
  if (!sum.is_at(frame, 16)) return false;
  log.sum = sum;
  return true;
}

/// False where the header is none.
bool read_header(Reader& log) {
  std::array<std::byte, header_size> header{};
  base::read_at(log.file.get(), 0, header, "the database's log");
  log.sum.big_endian = (word(header, 0) & 1) != 0;
  log.page = word(header, 8);
  std::copy_n(header.begin() + 16, log.salts.size(), log.salts.begin());
  log.sum.add(Bytes(header).first(24));
  return (word(header, 0) & ~1u) == magic && word(header, 4) == format && std::has_single_bit(log.page) &&
         log.page >= 512 && log.page <= 65536 && log.sum.is_at(header, 24);
}

/// What follows the first frame that is not whole. A commit is synced before the next write begins: one of this log
/// that comes later tells that the frame was whole once. So may the frame itself have been, where it is a commit.
LogState state_of_rest(const Reader& log, std::uint64_t at, bool uncommitted) {
  bool ours = false;
  for (bool first = true; at < log.size; at += log.frame_size(), first = false) {
    const std::vector<std::byte> frame = log.frame_at(at);
    if (frame.size() < 16) return LogState::torn;
    const Owner owner = owner_of(log, frame);
    const bool is_full = frame.size() == log.frame_size();
    if (owner == Owner::nobody || (owner == Owner::this_log && is_full && is_commit(frame))) return LogState::damaged;
    ours = ours || (owner == Owner::this_log && (first || !is_full));
  }
  return ours || uncommitted ? LogState::torn : LogState::whole;
}

}  // namespace

LogTail look_at_log(const std::filesystem::path& path) {
  std::error_code absent;
  Reader log;
  log.size = std::filesystem::file_size(path, absent);
  if (absent || log.size == 0) return {};
  log.file = base::open_file(path, O_RDONLY);
  LogTail tail{LogState::torn, 0, log.size};
  if (log.size < header_size) return tail;
  if (!read_header(log)) {
    tail.state = log.size == header_size ? LogState::torn : LogState::damaged;
    return tail;
  }
  tail.committed = header_size;
  std::uint64_t at = header_size;
  for (; at + log.frame_size() <= log.size; at += log.frame_size()) {
    const std::vector<std::byte> frame = log.frame_at(at);
    if (frame.size() < log.frame_size() || owner_of(log, frame) != Owner::this_log || !is_whole(log, frame)) break;
    if (is_commit(frame)) tail.committed = at + log.frame_size();
  }
  tail.state = state_of_rest(log, at, at > tail.committed);
  return tail;
}

}  // namespace umbra::store
