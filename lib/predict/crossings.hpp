// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a past tells of one threshold and one window: when it was reached, for how long, and what became of each origin
// whose window has passed.

#include <cstddef>
#include <vector>

#include "predict/past.hpp"

namespace umbra::predict {

/// An origin whose window has passed: where the resource stood then, and how far it rose.
struct Precedent {
  float value;    ///< at the origin
  float mean;     ///< over the window before
  float highest;  ///< over four windows before
  float rise;     ///< of the window's peak over the value
};

/// How often saturation followed, of the origins whose whole window has passed.
struct Odds {
  double origins = 0;
  double saturated = 0;
};

class Crossings {
 public:
  Crossings(double threshold, double window_s);

  /// Takes in what was appended to `past` since the last call; always the same past.
  void follow(const Past& past);

  double threshold() const { return m_threshold; }
  double window_s() const { return m_window_s; }
  bool above() const { return m_above; }              ///< at the newest reading
  double run_start() const { return m_run_start; }    ///< of the newest run above; NaN where there was none
  double last_above() const { return m_last_above; }  ///< time of the newest reading above; NaN where there was none
  const std::vector<double>& onsets() const { return m_onsets; }        ///< times at which runs above began
  const std::vector<double>& run_lengths() const { return m_lengths; }  ///< seconds, of the runs that have ended

  double onsets_since(double time) const;  ///< how many
  double share_above(Stretch s) const;     ///< of the readings; NaN where empty
  Odds all() const { return {m_quiet.origins + m_loud.origins, m_quiet.saturated + m_loud.saturated}; }
  Odds quiet() const { return m_quiet; }  ///< of origins with no reading above in the window before
  Odds loud() const { return m_loud; }    ///< of the others
  const std::vector<Precedent>& precedents() const { return m_precedents; }  ///< oldest first

 private:
  bool any_above(Stretch s) const;
  void take(const Past& past, std::size_t i);
  void settle(const Past& past, std::size_t i);

  double m_threshold;
  double m_window_s;
  std::vector<std::size_t> m_count_above;  ///< up to and including each reading
  std::size_t m_settled = 0;               ///< origins whose window has passed
  std::size_t m_ahead_to = 0;              ///< of the newest of them: the readings of its window end here,
  std::size_t m_before_from = 0;           ///< those of the window before it begin here,
  std::size_t m_four_from = 0;             ///< and those of the four before it here
  MovingHighest m_highest_ahead;
  MovingHighest m_highest_of_four;
  bool m_above = false;
  double m_run_start;
  double m_last_above;
  std::vector<double> m_onsets;
  std::vector<double> m_lengths;
  Odds m_quiet;
  Odds m_loud;
  std::vector<Precedent> m_precedents;
};

}  // namespace umbra::predict
