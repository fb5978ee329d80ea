// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes HTML and SVG that are well-formed XML too: elements nest by construction, all text is escaped.

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace umbra::cmd {

/// Text for XML, between tags or in double quotes. What is no UTF-8 or no character of XML becomes U+FFFD.
std::string escaped(std::string_view text);

/// A coordinate in pixels: one decimal at most. Zero where it is not finite, since a picture has no other place for it.
std::string pixels(double value);

class Markup {
 public:
  struct Attribute {
    std::string_view name;
    std::string value;
  };
  using Attributes = std::initializer_list<Attribute>;

  /// An element without contents; of HTML only those that have none by definition.
  void leaf(std::string_view name, Attributes attributes);
  void element(std::string_view name, Attributes attributes, std::string_view text);
  void in(std::string_view name, Attributes attributes, const std::function<void()>& contents);
  void text(std::string_view text) { m_out += escaped(text); }
  /// As it is: for constants of the program.
  void verbatim(std::string_view text) { m_out += text; }
  std::string take() { return std::move(m_out); }

 private:
  void open(std::string_view name, Attributes attributes);
  std::string m_out;
};

}  // namespace umbra::cmd
