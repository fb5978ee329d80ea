// SPDX-License-Identifier: Apache-2.0
#pragma once
// What trees see of a level that a peak may reach.

#include <cstddef>
#include <span>
#include <vector>

namespace umbra::predict {

/// What a course says of a level that its peak may reach: how far it lies above what was seen. Every column rises with
/// the level.
class LevelColumns {
 public:
  LevelColumns();
  std::size_t count() const { return fixed + m_below.size(); }
  void append(std::span<const float> course, double level, std::vector<float>& row) const;
  /// The typical distance that the resource moves; above zero.
  double scale(std::span<const float> course) const;

 private:
  static constexpr std::size_t fixed = 3;
  std::vector<std::size_t> m_below;  ///< columns of the course that are levels themselves
};

}  // namespace umbra::predict
