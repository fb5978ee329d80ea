// SPDX-License-Identifier: Apache-2.0
#include "predict/habit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

namespace umbra::predict {
namespace {

constexpr std::size_t days_looked_back = 14;
constexpr double enough_of_a_day = day / 4;
constexpr unsigned enough_readings = 12;
constexpr double good_part = 0.06;  // an hour and a half of a day
constexpr unsigned several = 3;
constexpr double a_return = hour;         // so long below the level ends a stay
constexpr double most_between = hour;     // a reading stands for the time since the one before, but not for a hole
constexpr std::size_t height_steps = 80;  // from the level to 1, of a histogram
constexpr double height_rounding = 1e-9;

/// One day's readings; those at or above the level in a histogram of seconds, so that the density of samples, which
/// differs with their age, does not matter.
struct Day {
  double seen_s = 0;
  double high_s = 0;
  unsigned readings = 0;
  std::array<double, height_steps + 1> at{};

  bool counts() const { return seen_s >= enough_of_a_day && readings >= enough_readings; }
  bool high() const { return high_s >= good_part * seen_s; }
  /// As height_steps above the level.
  double quantile(double q) const {
    double below = 0;
    std::size_t i = 0;
    while (i < height_steps && below + at[i] < q * high_s) below += at[i++];
    return static_cast<double>(i);
  }
};

/// What one pass over the readings gives.
struct Days {
  std::vector<Day> days;  ///< oldest first
  double seen_s = 0;
  double high_s = 0;
  unsigned stays = 0;  ///< at or above the level, each ended by a return
};

Days days_of(const Past& past, Stretch recent, double level) {
  std::vector<Day> by_age(days_looked_back);
  Days all;
  const double newest = past.time(recent.to - 1);
  double below_s = a_return;
  for (std::size_t i = std::max<std::size_t>(1, recent.from); i < recent.to; ++i) {
    const double stood_s = std::min(most_between, past.time(i) - past.time(i - 1));
    const auto age = std::min(days_looked_back - 1, static_cast<std::size_t>((newest - past.time(i)) / day));
    Day& today = by_age[age];
    ++today.readings;
    today.seen_s += stood_s;
    all.seen_s += stood_s;
    if (past.value(i) < level) {
      below_s += stood_s;
      continue;
    }
    if (below_s >= a_return) ++all.stays;
    below_s = 0;
    today.high_s += stood_s;
    all.high_s += stood_s;
    // The peak, since that is what a threshold is compared with.
    const double above = (past.peak(i) - level) / (1 - level) * height_steps + height_rounding;
    today.at[static_cast<std::size_t>(std::clamp(above, 0.0, double{height_steps}))] += stood_s;
  }
  std::copy_if(by_age.rbegin(), by_age.rend(), std::back_inserter(all.days), [](const Day& d) { return d.counts(); });
  return all;
}

/// On half the days of each half of the past, and on several in all.
template <class Usual>
bool recurs(std::span<const Day> days, Usual usual) {
  const auto half = static_cast<std::ptrdiff_t>(days.size() / 2);
  const auto early = std::count_if(days.begin(), days.begin() + half, usual);
  const auto late = std::count_if(days.end() - half, days.end(), usual);
  return 2 * early >= half && 2 * late >= half && std::count_if(days.begin(), days.end(), usual) >= several;
}

/// The lower median, over the usual days, of what nine of ten of their high readings stay below.
template <class Usual>
double mostly_below(std::span<const Day> days, Usual usual, double level) {
  std::vector<double> heights;
  for (const Day& d : days) {
    if (usual(d)) heights.push_back(level + (1 - level) * d.quantile(0.9) / height_steps);
  }
  const auto middle = heights.begin() + static_cast<std::ptrdiff_t>((heights.size() - 1) / 2);
  std::nth_element(heights.begin(), middle, heights.end());
  return *middle;
}

}  // namespace

Habit habit_at(double level, const Past& past, const Steadiness& steadiness) {
  Habit habit;
  if (past.empty()) return habit;
  const Stretch recent = past.since(past.time(past.size() - 1) - static_cast<double>(days_looked_back) * day);
  habit.span_s = past.time(recent.to - 1) - past.time(recent.from);
  if (past.highest(recent) < level) return habit;

  const Days all = days_of(past, recent, level);
  const std::span<const Day> days = all.days;
  habit.days = days.size();
  habit.share = all.seen_s > 0 ? all.high_s / all.seen_s : 0;
  habit.kind = Habit::Kind::unknown;
  if (habit.days < least_days) return habit;

  const double most_apart = steadiness.spread / (1 - level) * height_steps + height_rounding;
  const auto usual = [&](const Day& d) { return d.high() && d.quantile(0.9) - d.quantile(0.1) <= most_apart; };
  habit.usual =
      static_cast<std::size_t>(std::count_if(days.begin(), days.end(), [](const Day& d) { return d.high(); }));
  habit.kind = Habit::Kind::occasional;
  if (!recurs(days, [](const Day& d) { return d.high(); })) return habit;
  if (all.stays < several && habit.usual < habit.days) return habit;
  habit.kind = Habit::Kind::passing;
  if (!recurs(days, usual)) return habit;

  const std::size_t half = days.size() / 2;
  habit.early = mostly_below(days.first(half), usual, level);
  habit.late = mostly_below(days.last(half), usual, level);
  habit.kind =
      habit.late > habit.early + steadiness.rise + height_rounding ? Habit::Kind::rising : Habit::Kind::ordinary;
  return habit;
}

}  // namespace umbra::predict
