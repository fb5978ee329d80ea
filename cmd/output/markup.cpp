// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/markup.hpp"

#include <fmt/core.h>

#include <cmath>
#include <cstdint>

namespace umbra::cmd {
namespace {

/// Bytes of the character that `text`, which is not empty, begins with; 0 where it is none that XML may hold.
std::size_t character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) {
    const bool space = first == '\t' || first == '\n' || first == '\r';
    return (first >= 0x20 && first != 0x7f) || space ? 1 : 0;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  std::uint32_t code = first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool longer_than_need_be = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return longer_than_need_be || surrogate || code > 0x10ffff || (code & 0xfffe) == 0xfffe ? 0 : length;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character_at(text);
    const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (character == "&") {
      out += "&amp;";
    } else if (character == "<") {
      out += "&lt;";
    } else if (character == ">") {
      out += "&gt;";
    } else if (character == "\"") {
      out += "&quot;";
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string pixels(double value) {
  if (!std::isfinite(value)) return "0";
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

void Markup::open(std::string_view name, Attributes attributes) {
  m_out += fmt::format("<{}", name);
  for (const Attribute& a : attributes) m_out += fmt::format(" {}=\"{}\"", a.name, escaped(a.value));
}

void Markup::leaf(std::string_view name, Attributes attributes) {
  open(name, attributes);
  m_out += "/>";
}

void Markup::element(std::string_view name, Attributes attributes, std::string_view text) {
  in(name, attributes, [&] { m_out += escaped(text); });
}

void Markup::in(std::string_view name, Attributes attributes, const std::function<void()>& contents) {
  open(name, attributes);
  m_out += '>';
  contents();
  m_out += fmt::format("</{}>\n", name);
}

}  // namespace umbra::cmd
