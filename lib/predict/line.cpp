// SPDX-License-Identifier: Apache-2.0
#include "predict/line.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "predict/outcome.hpp"
#include "predict/statistical.hpp"
#include "predict/trend.hpp"
#include "predict/walk.hpp"

namespace umbra::predict {
namespace {

constexpr double most_learned_steps = 100;
constexpr double clear = 0.5;          // of a trend: what does not rise or fall is noise, and that trees know better
constexpr double beside_trees = 0.75;  // the weight of a clear line where trees know a whole window
constexpr double windows_looked_at = 3;
constexpr std::size_t most_looked_at = 960;  // of a long past, means of neighbours

/// The readings to look at, or means of neighbours where they are many, the newest group whole.
std::vector<Dot> dots_of(const Past& past, double window_s) {
  const double origin = past.time(past.size() - 1);
  const Stretch all = past.since(origin - windows_looked_at * window_s);
  const std::size_t group = (all.to - all.from + most_looked_at - 1) / most_looked_at;
  std::vector<Dot> dots;
  for (std::size_t to = all.to; to >= all.from + group; to -= group) {
    const double middle = (past.time(to - group) + past.time(to - 1)) / 2;
    dots.push_back({middle - origin, group == 1 ? past.value(to - 1) : past.shape({to - group, to}).mean});
  }
  std::reverse(dots.begin(), dots.end());
  return dots;
}

/// How often earlier lines of that many seconds, at least half as steep as `slope`, did not go on for as long again.
/// They overlap, so that none is missed; a turn counts more than once.
double ended_before(const Past& past, double slope, double length) {
  constexpr int most_lines = 48;
  constexpr double straight = 0.6;  // share of the variance that the line explains
  constexpr double least_readings = 8;
  const double origin = past.time(past.size() - 1);
  double ended = 0;
  for (int back = 2; back <= most_lines; ++back) {
    const double until = origin - back * length / 2;
    if (until - length < past.time(0) - length / least_readings) break;
    const Stretch before = past.between(until - length, until);
    const Stretch after = past.between(until, until + length);
    if (before.count() < least_readings || after.empty()) continue;
    const Shape was = past.shape(before);
    const double explained = was.slope * length / std::sqrt(12.0);  // spread of a line's values about their mean
    if (std::abs(was.slope) < std::abs(slope) / 2) continue;
    if (explained * explained < straight * was.spread * was.spread) continue;
    const double advance = (past.shape(after).mean - was.mean) / (was.slope * length);
    ended += advance < 0.5 ? 1 : 0;
  }
  return ended;
}

}  // namespace

std::optional<LineSays> line_says(const View& view) {
  const Past& past = view.past;
  const double window = view.crossings.window_s();
  const double step = step_at(past, past.size() - 1);
  const std::size_t newest = past.size() - 1;
  const double threshold = view.crossings.threshold();
  if (window <= most_learned_steps * step || past.value(newest) >= threshold) return std::nullopt;
  const std::vector<Dot> dots = dots_of(past, window);
  if (dots.size() < 3) return std::nullopt;
  const Trend line = fit_trend(dots);
  if (line.weight < clear) return std::nullopt;

  const base::Instant origin = instant_of(past.time(newest));
  std::vector<Reading> readings;
  for (const Dot& dot : dots) readings.push_back({instant_of(past.time(newest) + dot.t), dot.v});
  StatisticalOptions options;
  options.sustain = base::Seconds(step);     // what is asked for is the highest reading, not the highest mean of some
  options.persistence = base::Seconds(1e9);  // a line goes on or ends
  options.ends = 1;
  const auto f = StatisticalForecaster(options).forecast({readings, origin, base::Seconds(window), threshold});
  if (!f) return std::nullopt;
  LineSays says;
  const double ended = ended_before(past, line.slope, line.span) + ended_before(past, line.slope, line.span / 2);
  says.only_raises = past.time(newest) - past.time(0) >= window;
  says.weight = line.weight * (says.only_raises ? beside_trees : 1) / (1 + 2 * ended);
  says.estimate = {f->p_saturation, f->saturates_in_s.value_or(model::Quantiles{window, window, window}), f->peak};
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
