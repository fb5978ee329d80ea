// SPDX-License-Identifier: Apache-2.0
#pragma once
// One resource's readings, appended as time goes on, with statistics of any stretch of them in a few steps.

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

namespace umbra::predict {

/// A figure that is not known.
inline constexpr double missing = std::numeric_limits<double>::quiet_NaN();
inline constexpr double hour = 3600;  ///< seconds
inline constexpr double day = 24 * hour;

/// A stretch of readings: [from, to), as indices into the past.
struct Stretch {
  std::size_t from = 0;
  std::size_t to = 0;
  bool empty() const { return to <= from; }
  double count() const { return empty() ? 0 : static_cast<double>(to - from); }
};

/// NaN where a stretch is empty; `slope` per second, NaN below 3 readings.
struct Shape {
  double mean;
  double spread;  ///< standard deviation
  double walk;    ///< mean distance between neighbours
  double slope;
};

/// Readings rising in time. What is asked of it depends on the readings appended so far alone, to the last bit, so that
/// a walk through a trace and a single look at its end give the same.
class Past {
 public:
  /// `time` in Unix seconds, later than the one before; `value` and `peak` (the highest within the reading's own span)
  /// as fractions of capacity.
  void append(double time, double value, double peak);
  /// Empty again; its memory serves the next readings.
  void clear();

  std::size_t size() const { return m_time.size(); }
  bool empty() const { return m_time.empty(); }
  /// How many of the newest readings follow each other without a gap beyond model::longest_gap.
  std::size_t unbroken() const { return size() - m_unbroken_from; }
  double time(std::size_t i) const { return m_time[i]; }
  double value(std::size_t i) const { return m_value[i]; }
  double peak(std::size_t i) const { return m_peak[i]; }

  /// The readings with `after` < time <= `until`.
  Stretch between(double after, double until) const;
  Stretch since(double after) const;  ///< the readings with time > `after`
  Stretch whole() const { return {0, size()}; }

  Shape shape(Stretch s) const;
  double mean(Stretch s) const;     ///< as shape() has it
  double highest(Stretch s) const;  ///< of the peaks; NaN where empty
  double lowest(Stretch s) const;   ///< of the values; NaN where empty

 private:
  /// Sums over all readings up to and including one.
  struct Sums {
    double v = 0, vv = 0, walk = 0;
    // Of weeks of seconds the squares reach 1e19, and what half a minute adds to them must not be lost.
    long double t = 0, tt = 0, tv = 0;
  };
  static constexpr std::size_t smallest_block = 16;
  /// Extremes of whole blocks of 16, 256 and 4096 readings; each begins where a smaller one does.
  struct Blocks {
    std::size_t size;
    std::vector<double> highest;
    std::vector<double> lowest;
  };
  template <class Better>
  double extreme(Stretch s, const std::vector<double>& readings, std::vector<double> Blocks::*of, Better better) const;

  std::size_t m_unbroken_from = 0;
  std::vector<double> m_time;
  std::vector<double> m_value;
  std::vector<double> m_peak;
  std::vector<Sums> m_sums;
  std::array<Blocks, 3> m_blocks{Blocks{4096, {}, {}}, Blocks{256, {}, {}}, Blocks{smallest_block, {}, {}}};
};

/// The highest peak of stretches of one past whose ends only ever move on: in all of them together each reading is
/// looked at once, while Past::highest() looks anew each time.
class MovingHighest {
 public:
  double of(const Past& past, Stretch s);  ///< NaN where empty

 private:
  std::size_t m_to = 0;                ///< readings taken in so far
  std::vector<std::size_t> m_falling;  ///< those that no later one outdoes, oldest first,
  std::size_t m_first = 0;             ///< from here on
};

}  // namespace umbra::predict
