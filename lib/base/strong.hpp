// SPDX-License-Identifier: Apache-2.0
#pragma once
// Strong types: a name, an id or a quantity that cannot be mistaken for another of the same representation.

#include <compare>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

namespace umbra::base {

/// A value of type T that is its own type by Tag. Ordered and printable; no arithmetic.
template <class Tag, class T = std::string>
class Strong {
 public:
  Strong() = default;
  explicit Strong(T value) : m_value(std::move(value)) {}
  const T& get() const { return m_value; }
  auto operator<=>(const Strong&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Strong& s) { return out << s.m_value; }

 private:
  T m_value{};
};

}  // namespace umbra::base

template <class Tag, class T>
struct std::hash<umbra::base::Strong<Tag, T>> {
  std::size_t operator()(const umbra::base::Strong<Tag, T>& s) const { return std::hash<T>{}(s.get()); }
};
