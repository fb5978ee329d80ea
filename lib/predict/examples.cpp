// SPDX-License-Identifier: Apache-2.0
#include "predict/examples.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace umbra::predict {
namespace {

/// All that a row holds besides its features.
constexpr std::array float_columns{&Examples::saturated, &Examples::onset, &Examples::rise, &Examples::first,
                                   &Examples::value};
constexpr std::array time_columns{&Examples::time, &Examples::ends};

template <class T>
void extend(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// The part of a series that is known at `until`.
model::Series known_at(const model::Series& series, double until) {
  model::Series known = series;
  const auto later = std::ranges::find_if(known.samples, [&](const auto& s) { return unix_seconds(s.at) > until; });
  known.samples.erase(later, known.samples.end());
  return known;
}

Examples examples_in(const model::Series& known, const Past& whole, model::Resource resource, const Ask& ask,
                     const Draw& draw, Dice& dice) {
  Examples examples;
  Walk walk(known, resource, ask);
  while (walk.next()) {
    if (!walk.is_origin() || walk.time() <= draw.after || walk.time() + ask.window_s > draw.until) continue;
    if (draw.share < 1 && dice.share() >= draw.share) continue;
    const auto outcome = outcome_of(whole, walk.reading(), ask);
    if (!outcome) continue;
    append_features(walk.view(), examples.features);
    examples.saturated.push_back(outcome->saturated ? 1.0f : 0.0f);
    examples.onset.push_back(outcome->onset ? 1.0f : 0.0f);
    examples.rise.push_back(static_cast<float>(outcome->peak - walk.value()));
    examples.first.push_back(static_cast<float>(outcome->first_s / ask.window_s));
    examples.value.push_back(static_cast<float>(walk.value()));
    examples.time.push_back(walk.time());
    examples.ends.push_back(walk.time() + ask.window_s);
  }
  return examples;
}

/// What most ask: whether nine tenths, or eight, are reached within half an hour, or an hour.
Ask usual_ask(Dice& dice) {
  return {dice.below(4) > 0 ? 0.9 : 0.8, dice.below(4) > 0 ? 1800.0 : 3600.0};
}

double varied_window(double step_s, Dice& dice) {
  constexpr std::array windows{1, 2, 3, 4, 6, 6, 6, 6, 9, 12, 12, 12, 18, 24, 36, 72};  // in steps
  constexpr std::array longer{1, 5, 25};
  constexpr double coarse_step = 200;  // seconds; with finer ones windows have more steps
  constexpr double fine_step = 20;
  constexpr double shortest = 60;
  constexpr double longest = 6 * hour;
  const double window = step_s * windows[dice.below(windows.size())];
  if (step_s >= coarse_step) return std::min(longest, window);
  return std::clamp(window * longer[dice.below(step_s < fine_step ? 3 : 2)], shortest, longest);
}

/// A question as somebody somewhere may ask it. `sorted` are the VM's values.
Ask varied_ask(const std::vector<double>& sorted, double step_s, Dice& dice) {
  constexpr double usual = 0.35;
  if (dice.share() < usual) return usual_ask(dice);
  const double window = varied_window(step_s, dice);
  const double kind = dice.share();
  if (kind < 0.15) return {0.9, window};
  if (kind < 0.2) return {0.8, window};
  if (kind < 0.55) return {0.1 + 0.9 * dice.share(), window};
  // Reached by 30 % down to 0.3 % of the readings.
  const double rank = 1 - std::pow(10, -0.5 - 2 * dice.share());
  const double value = sorted[static_cast<std::size_t>(rank * static_cast<double>(sorted.size() - 1))];
  return {std::max(0.05, value + 0.02 * (dice.share() - 0.5)), window};
}

}  // namespace

std::uint64_t Dice::draw() {
  m_state += 0x9e3779b97f4a7c15;
  std::uint64_t z = m_state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

ports::Matrix Examples::matrix() const {
  return {features, rows(), rows() == 0 ? 0 : features.size() / rows()};
}

void Examples::append(const Examples& more) {
  extend(features, more.features);
  for (const auto column : float_columns) extend(this->*column, more.*column);
  for (const auto column : time_columns) extend(this->*column, more.*column);
}

Examples Examples::where(const std::function<bool(std::size_t row)>& serves) const {
  const std::size_t columns = matrix().columns;
  Examples some;
  for (std::size_t row = 0; row < rows(); ++row) {
    if (!serves(row)) continue;
    const auto begin = features.begin() + static_cast<std::ptrdiff_t>(row * columns);
    some.features.insert(some.features.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
    for (const auto column : float_columns) (some.*column).push_back((this->*column)[row]);
    for (const auto column : time_columns) (some.*column).push_back((this->*column)[row]);
  }
  return some;
}

Examples examples_of(const model::Series& series, model::Resource resource, const Ask& ask, const Draw& draw,
                     Dice& dice) {
  const model::Series known = known_at(series, draw.until);
  const Past whole = past_of(known, resource);
  return examples_in(known, whole, resource, ask, draw, dice);
}

Examples varied_examples_of(const model::Series& series, model::Resource resource, unsigned asks, const Draw& draw,
                            Dice& dice) {
  const model::Series known = known_at(series, draw.until);
  const Past whole = past_of(known, resource);
  Examples all;
  if (whole.size() <= model::least_history) return all;
  std::vector<double> sorted;
  for (std::size_t i = 0; i < whole.size(); ++i) sorted.push_back(whole.value(i));
  std::sort(sorted.begin(), sorted.end());
  const double step_s = median_step(whole, whole.whole());
  for (unsigned i = 0; i < asks; ++i) {
    all.append(examples_in(known, whole, resource, varied_ask(sorted, step_s, dice), draw, dice));
  }
  return all;
}

}  // namespace umbra::predict
