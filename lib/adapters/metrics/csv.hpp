// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lines of a text file one at a time, and their cells: RFC 4180 but for line ends within quotes. No memory is taken per
// line or cell: both are views, good until the next call.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"

namespace umbra::metrics {

/// Reads lines of at most 64 KiB; a longer one is given cut, with `cut` set. Memory does not grow with the file.
class LineReader {
 public:
  explicit LineReader(const std::filesystem::path& path);
  /// The next line without its end (LF or CR LF) and without a byte order mark; false at the end of the file.
  bool next(std::string_view& line);
  bool cut() const { return m_cut; }
  /// Whether the line ended where the file ends: who writes it may not have finished it.
  bool unfinished() const { return m_unfinished; }
  std::uint64_t number() const { return m_number; }

 private:
  bool refill();
  void skip_line();

  std::string m_path;
  base::UniqueFd m_file;
  std::vector<char> m_buffer;
  std::size_t m_begin = 0;  ///< what is not given yet is m_buffer[m_begin, m_end)
  std::size_t m_end = 0;
  bool m_cut = false;
  bool m_unfinished = false;
  std::uint64_t m_number = 0;
};

/// The cells of one line, blanks around them taken off.
class Cells {
 public:
  /// False where a quote is left open.
  bool parse(std::string_view line);
  std::size_t size() const { return m_cells.size(); }
  std::string_view operator[](std::size_t i) const { return m_cells[i]; }

 private:
  bool parse_quoted(std::string_view line);

  std::vector<std::string_view> m_cells;
  std::deque<std::string> m_unquoted;  ///< what cells with quotes stand for; a deque, so that views of it stay good
};

}  // namespace umbra::metrics
