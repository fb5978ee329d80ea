// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lines of a text file one at a time, and their cells: RFC 4180 but for line ends within quotes.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace umbra::metrics {

/// Reads lines of at most 64 KiB; a longer one is given cut, with `cut` set. Memory does not grow with the file.
class LineReader {
 public:
  explicit LineReader(const std::filesystem::path& path);
  /// The next line without its end (LF or CR LF) and without a byte order mark; false at the end of the file.
  bool next(std::string& line);
  bool cut() const { return m_cut; }
  std::uint64_t number() const { return m_number; }

 private:
  std::string m_path;
  std::ifstream m_in;
  std::vector<char> m_buffer;
  bool m_cut = false;
  std::uint64_t m_number = 0;
};

/// The cells of one line, blanks around them taken off; nothing where a quote is left open.
std::optional<std::vector<std::string>> cells_of(std::string_view line);

}  // namespace umbra::metrics
