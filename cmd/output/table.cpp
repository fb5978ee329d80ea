// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/table.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace umbra::cmd {
namespace {

std::string_view colour_of(Tone tone) {
  switch (tone) {
    case Tone::plain:
      return "";
    case Tone::good:
      return "\033[32m";
    case Tone::warn:
      return "\033[33m";
    case Tone::bad:
      return "\033[31m";
    case Tone::faint:
      return "\033[2m";
  }
  return "";
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text[0] == '-' || text[0] == '+') &&
         text.find_first_of(":T") == std::string::npos;
}

}  // namespace

std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  for (std::size_t c = 0; c < m_titles.size(); ++c) {
    std::size_t width = display_width(m_titles[c]);
    bool numbers = !m_rows.empty();
    for (const auto& row : m_rows) {
      width = std::max(width, display_width(row.at(c).text));
      numbers = numbers && (row[c].text == "-" || is_number(row[c].text));
    }
    widths.push_back(width);
    right.push_back(numbers);
  }
  std::string out;
  const auto line = [&](const std::vector<Cell>& cells) {
    std::string text;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(widths[c] - display_width(cells[c].text), ' ');
      const std::string_view on = colour ? colour_of(cells[c].tone) : std::string_view{};
      const std::string shown = on.empty() ? cells[c].text : fmt::format("{}{}\033[0m", on, cells[c].text);
      if (c > 0) text += "  ";
      text += right[c] ? pad + shown : shown + (c + 1 < cells.size() ? pad : "");
    }
    out += text + "\n";
  };
  std::vector<Cell> head;
  for (const std::string& title : m_titles) head.emplace_back(title, Tone::faint);
  line(head);
  for (const auto& row : m_rows) line(row);
  return out;
}

std::string human_bytes(unsigned long long bytes) {
  static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string percent(double fraction) {
  return fmt::format("{:.0f} %", fraction * 100);
}

std::string figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : "-";
}

}  // namespace umbra::cmd
