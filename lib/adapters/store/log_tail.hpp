// SPDX-License-Identifier: Apache-2.0
#pragma once
// The end of SQLite's write-ahead log as it lies on disk. SQLite passes over whatever follows the first frame that is
// not whole, acknowledged or not, and says nothing; so it is looked at before. Inside this folder and its tests only.

#include <cstdint>
#include <filesystem>

namespace umbra::store {

enum class LogState {
  whole,   ///< or absent
  torn,    ///< it ends within a write, which was never acknowledged
  damaged  ///< something that is committed, or may be, is not what was written
};

struct LogTail {
  LogState state = LogState::whole;
  std::uint64_t committed = 0;  ///< bytes up to the end of the last commit that is whole
  std::uint64_t size = 0;
};

/// Reads, and changes nothing. Format: https://sqlite.org/fileformat2.html#the_write_ahead_log. While another process
/// writes to the log, the answer may be wrong in any way but `whole`.
LogTail look_at_log(const std::filesystem::path& log);

}  // namespace umbra::store
