// SPDX-License-Identifier: Apache-2.0
#pragma once
// What trees learn from: origins of the past whose window has passed, with what became of them.

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "ports/trees.hpp"
#include "predict/walk.hpp"

namespace umbra::predict {

/// Rows of one origin each. Column by column the same order.
struct Examples {
  std::vector<float> features;   ///< row-major, as append_features() gives them
  std::vector<float> saturated;  ///< 0 or 1
  std::vector<float> onset;      ///< 1 where an alarm would be news (outcome.hpp), else 0
  std::vector<float> rise;       ///< of the window's peak over the value at the origin
  std::vector<float> first;      ///< time to saturation, in windows; NaN where there was none
  std::vector<float> value;      ///< at the origin
  std::vector<double> time;      ///< of the origin
  std::vector<double> ends;      ///< when its window does

  std::size_t rows() const { return saturated.size(); }
  ports::Matrix matrix() const;
  void append(const Examples& more);
  /// Those rows alone of which `serves` says so.
  Examples where(const std::function<bool(std::size_t row)>& serves) const;
};

/// Numbers that are the same on every machine, by SplitMix64 (Steele, Lea & Flood 2014).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : m_state(seed) {}
  double share() { return static_cast<double>(draw() >> 11) * 0x1.0p-53; }  ///< 0 <= x < 1
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(draw() % n); }

 private:
  std::uint64_t draw();
  std::uint64_t m_state;
};

struct Draw {
  double share = 1;                                         ///< of the origins
  double after = -std::numeric_limits<double>::infinity();  ///< origins later than that, Unix seconds
  double until = std::numeric_limits<double>::infinity();  ///< windows that end no later; nothing after it is looked at
};

/// Origins of one series under one question.
Examples examples_of(const model::Series& series, model::Resource resource, const Ask& ask, const Draw& draw,
                     Dice& dice);

/// Origins of one series under `asks` different questions each. A third are the usual ones (0.9 or 0.8, half an hour or
/// an hour); the others have windows of 1 to 72 steps, of fine steps up to 1,800, and thresholds all over the range and
/// in the tail of what this VM does, so that VMs that never come near their capacity teach too what comes before their
/// own peaks. Without these trees learn the few that saturate by heart.
Examples varied_examples_of(const model::Series& series, model::Resource resource, unsigned asks, const Draw& draw,
                            Dice& dice);

}  // namespace umbra::predict
