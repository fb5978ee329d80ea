// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/csv.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace umbra::metrics {
namespace {

constexpr std::size_t longest_line = 64u << 10;
constexpr std::size_t buffer_size = 4 * longest_line;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

LineReader::LineReader(const std::filesystem::path& path)
    : m_path(path.string()), m_file(base::open_file(path, O_RDONLY)), m_buffer(buffer_size) {}

/// Moves what is left to the front and reads more behind it; false at the end of the file.
bool LineReader::refill() {
  std::copy(m_buffer.data() + m_begin, m_buffer.data() + m_end, m_buffer.data());
  m_end -= m_begin;
  m_begin = 0;
  const auto room = std::as_writable_bytes(std::span(m_buffer)).subspan(m_end);
  const std::size_t got = base::read_full(m_file.get(), room, m_path);
  m_end += got;
  return got > 0;
}

bool LineReader::next(std::string_view& line) {
  const auto line_end = [&] {
    return static_cast<const char*>(std::memchr(m_buffer.data() + m_begin, '\n', m_end - m_begin));
  };
  const char* end = line_end();
  if (end == nullptr && m_end - m_begin <= longest_line && refill()) end = line_end();
  const std::size_t length = end != nullptr ? end - (m_buffer.data() + m_begin) : m_end - m_begin;
  if (end == nullptr && length == 0) return false;
  ++m_number;
  m_cut = length > longest_line;
  line = std::string_view(m_buffer.data() + m_begin, std::min(length, longest_line));
  m_unfinished = end == nullptr && !m_cut;
  if (end != nullptr) {
    m_begin += length + 1;
  } else if (m_cut) {
    skip_line();  // overwrites what `line` shows: of a cut line only the fact counts
    line = {};
  } else {
    m_begin = m_end;
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (m_number == 1 && line.starts_with(byte_order_mark)) line.remove_prefix(byte_order_mark.size());
  return true;
}

void LineReader::skip_line() {
  for (m_begin = m_end; refill(); m_begin = m_end) {
    const auto* end = static_cast<const char*>(std::memchr(m_buffer.data(), '\n', m_end));
    if (end == nullptr) continue;
    m_begin = end - m_buffer.data() + 1;
    return;
  }
}

bool Cells::parse(std::string_view line) {
  m_cells.clear();
  m_unquoted.clear();
  if (line.find('"') != std::string_view::npos) return parse_quoted(line);
  for (std::size_t begin = 0;;) {
    const std::size_t comma = line.find(',', begin);
    if (comma == std::string_view::npos) {
      m_cells.push_back(without_blanks(line.substr(begin)));
      return true;
    }
    m_cells.push_back(without_blanks(line.substr(begin, comma - begin)));
    begin = comma + 1;
  }
}

bool Cells::parse_quoted(std::string_view line) {
  bool quoted = false;
  m_unquoted.emplace_back();
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      m_unquoted.back() += c;
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      m_unquoted.emplace_back();
    } else {
      m_unquoted.back() += c;
    }
  }
  for (const std::string& cell : m_unquoted) m_cells.push_back(without_blanks(cell));
  return !quoted;
}

}  // namespace umbra::metrics
