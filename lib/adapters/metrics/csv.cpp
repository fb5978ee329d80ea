// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/csv.hpp"

#include <cerrno>
#include <limits>

#include "base/error.hpp"

namespace umbra::metrics {
namespace {

constexpr std::size_t longest_line = 64u << 10;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

std::string trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

}  // namespace

LineReader::LineReader(const std::filesystem::path& path)
    : m_path(path.string()), m_in(path, std::ios::binary), m_buffer(longest_line + 1) {
  if (!m_in) throw base::from_errno(errno, "open " + m_path);
}

bool LineReader::next(std::string& line) {
  if (m_in.eof()) return false;
  m_in.getline(m_buffer.data(), static_cast<std::streamsize>(m_buffer.size()));
  if (m_in.bad()) throw base::from_errno(EIO, "read " + m_path);
  line.assign(m_buffer.data());
  m_cut = m_in.fail() && !m_in.eof();
  if (m_in.eof() && m_in.gcount() == 0) return false;
  if (m_cut) {
    m_in.clear();
    m_in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  ++m_number;
  if (line.ends_with('\r')) line.pop_back();
  if (m_number == 1 && line.starts_with(byte_order_mark)) line.erase(0, byte_order_mark.size());
  return true;
}

std::optional<std::vector<std::string>> cells_of(std::string_view line) {
  std::vector<std::string> cells;
  std::string cell;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cell += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.push_back(trimmed(cell));
      cell.clear();
    } else {
      cell += c;
    }
  }
  if (quoted) return std::nullopt;
  cells.push_back(trimmed(cell));
  return cells;
}

}  // namespace umbra::metrics
