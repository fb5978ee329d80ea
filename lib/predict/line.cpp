// SPDX-License-Identifier: Apache-2.0
#include "predict/line.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "predict/outcome.hpp"
#include "predict/statistical.hpp"
#include "predict/trend.hpp"

namespace umbra::predict {
namespace {

constexpr double most_learned_steps = 100;
constexpr double clear = 0.5;    // of a trend: what does not rise or fall is noise, and that trees know better
constexpr double at_most = 0.6;  // the weight of a clear line: with more, whatever turned cost more than ramps won
constexpr double beside_trees = 0.75;  // of that where trees know a whole window
constexpr double an_end_counts = 2;    // a line that ended once before has a third of the weight
constexpr double windows_looked_at = 3;
constexpr std::size_t most_looked_at = 960;  // of a long past, means of neighbours
constexpr std::size_t least_looked_at = 12;

/// The first reading after the newest gap of months.
std::size_t beginning(const Past& past) {
  return past.size() - past.unbroken();
}

Stretch looked_at(const Past& past, double span) {
  const Stretch newest = past.since(past.time(past.size() - 1) - span);
  return {std::max(newest.from, beginning(past)), newest.to};
}

/// The readings to look at, or means of neighbours where they are many. The newest reading stands alone: it says
/// whether the threshold is reached now.
std::vector<Dot> dots_of(const Past& past, Stretch all) {
  const std::size_t newest = all.to - 1;
  const double origin = past.time(newest);
  const std::size_t group = (all.to - all.from + most_looked_at - 1) / most_looked_at;
  std::vector<Dot> dots{{0, past.value(newest)}};
  for (std::size_t to = newest; to >= all.from + group; to -= group) {
    const double middle = (past.time(to - group) + past.time(to - 1)) / 2;
    dots.push_back({middle - origin, group == 1 ? past.value(to - 1) : past.shape({to - group, to}).mean});
  }
  std::reverse(dots.begin(), dots.end());
  return dots;
}

/// Of the readings that the line goes through, the newest: enough to tell how they scatter.
std::vector<Dot> readings_on(const Past& past, const Trend& line) {
  Stretch on = looked_at(past, line.span);
  if (on.count() > most_looked_at) on.from = on.to - most_looked_at;
  return dots_of(past, on);
}

/// How often earlier lines of that many seconds, at least half as steep as `slope`, did not go on for as long again.
/// They overlap by half, so that none is missed; a turn counts more than once.
double ended_before(const Past& past, double slope, double length) {
  constexpr int most_lines = 47;
  constexpr double straight = 0.6;  // share of the variance that the line explains
  constexpr double stopped = 0.5;   // of the way that it would have gone: what stays at its end comes half as far
  constexpr double least_readings = 8;
  const double newest_begins = past.time(past.size() - 1) - length;
  const double first = past.time(beginning(past));
  double ended = 0;
  for (int i = 0; i < most_lines; ++i) {
    const double until = newest_begins - i * length / 2;
    if (until - length < first - length / least_readings) break;
    const Stretch before = past.between(until - length, until);
    const Stretch after = past.between(until, until + length);
    if (before.count() < least_readings || after.empty()) continue;
    const Shape was = past.shape(before);
    const double explained = was.slope * length / std::sqrt(12.0);  // spread of a line's values about their mean
    if (std::abs(was.slope) < std::abs(slope) / 2) continue;
    if (explained * explained < straight * was.spread * was.spread) continue;
    const double advance = (past.shape(after).mean - was.mean) / (was.slope * length);
    ended += advance < stopped ? 1 : 0;
  }
  return ended;
}

/// The line may reach back into what was before it, so that its like are shorter: those of half its length count too.
double ended_before(const Past& past, const Trend& line) {
  return ended_before(past, line.slope, line.span) + ended_before(past, line.slope, line.span / 2);
}

/// Whether the past reaches over the window before the origin, and its readings are there.
bool knows_a_window(const Past& past, double step, double window) {
  const double origin = past.time(past.size() - 1);
  if (origin - past.time(beginning(past)) < window) return false;
  return past.since(origin - window).count() >= least_seen(step, window);
}

}  // namespace

std::optional<LineSays> line_says(const View& view) {
  const Past& past = view.past;
  const double window = view.crossings.window_s();
  const double step = step_at(past, past.size() - 1);
  const std::size_t newest = past.size() - 1;
  const double threshold = view.crossings.threshold();
  if (window <= most_learned_steps * step || past.value(newest) >= threshold) return std::nullopt;
  const Stretch all = looked_at(past, windows_looked_at * window);
  const std::vector<Dot> dots = dots_of(past, all);
  if (dots.size() < least_looked_at) return std::nullopt;
  Trend line = fit_trend(dots);
  if (line.weight < clear) return std::nullopt;
  if (all.count() > most_looked_at) measure_scatter(line, readings_on(past, line));

  StatisticalOptions options;
  options.sustain = base::Seconds(step);     // what is asked for is the highest reading, not the highest mean of some
  options.persistence = base::Seconds(1e9);  // a line goes on or ends
  options.ends = 1;
  const auto f = StatisticalForecaster(options).follow(line, dots, base::Seconds(window), threshold);
  LineSays says;
  says.only_raises = knows_a_window(past, step, window);
  const double believed = at_most * line.weight * (says.only_raises ? beside_trees : 1);
  says.weight = believed / (1 + an_end_counts * ended_before(past, line));
  says.estimate = {f.p_saturation, f.saturates_in_s.value_or(model::Quantiles{window, window, window}), f.peak};
  return says;
}

Estimate blend(const Estimate& trees, const LineSays& line) {
  const Estimate& other = line.estimate;
  const auto quantiles = [](const model::Quantiles& a, const model::Quantiles& b, double share) {
    const auto one = [&](double x, double y) { return six_decimals(x + share * (y - x)); };
    return model::Quantiles{one(a.p10, b.p10), one(a.p50, b.p50), one(a.p90, b.p90)};
  };
  if (line.only_raises && other.p_saturation <= trees.p_saturation) return trees;
  Estimate both = trees;
  both.p_saturation = six_decimals(std::lerp(trees.p_saturation, other.p_saturation, line.weight));
  both.peak = quantiles(trees.peak, other.peak, line.weight);
  const double comes = line.weight * other.p_saturation;
  const double all = comes + (1 - line.weight) * trees.p_saturation;
  both.first_s = quantiles(trees.first_s, other.first_s, all > 0 ? comes / all : 0);
  return both;
}

}  // namespace umbra::predict
