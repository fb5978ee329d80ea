// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tables for a person: columns as wide as their contents, numbers to the right, colour only where asked for.

#include <optional>
#include <string>
#include <vector>

namespace umbra::cmd {

enum class Tone { plain, good, warn, bad, faint };

struct Cell {
  std::string text;
  Tone tone = Tone::plain;
  Cell(std::string t, Tone o = Tone::plain) : text(std::move(t)), tone(o) {}
  Cell(const char* t) : text(t) {}
};

class Table {
 public:
  explicit Table(std::vector<std::string> titles) : m_titles(std::move(titles)) {}
  void add(std::vector<Cell> row) { m_rows.push_back(std::move(row)); }
  bool empty() const { return m_rows.empty(); }
  /// With `colour`, tones become ANSI colours; without, plain text.
  std::string render(bool colour) const;

 private:
  std::vector<std::string> m_titles;
  std::vector<std::vector<Cell>> m_rows;
};

/// Columns that `text` takes on a terminal, for UTF-8 without combining or wide characters.
std::size_t display_width(const std::string& text);

std::string human_bytes(unsigned long long bytes);
std::string percent(double fraction);
/// Three decimals; "-" where there is none.
std::string figure(const std::optional<double>& value);

}  // namespace umbra::cmd
