// SPDX-License-Identifier: Apache-2.0
#include "predict/outcome.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace umbra::predict {
namespace {

constexpr double enough = 0.8;  // of the readings that a window should hold
constexpr double step_rounding = 1e-9;

}  // namespace

double least_seen(double step_s, double window_s) {
  const double expected = std::max(1.0, std::floor(window_s / step_s + step_rounding));
  return std::ceil(enough * expected - step_rounding);
}

std::optional<Outcome> outcome_of(const Past& past, std::size_t origin, const Ask& ask) {
  const double needed = least_seen(step_at(past, origin), ask.window_s);
  const double at = past.time(origin);
  const Stretch ahead{origin + 1, past.between(at, at + ask.window_s).to};
  if (ahead.count() < needed) return std::nullopt;
  const Stretch before = {past.between(at - ask.window_s, at).from, origin + 1};

  Outcome outcome;
  outcome.peak = past.highest(ahead);
  outcome.saturated = outcome.peak >= ask.threshold;
  outcome.onset = before.count() >= needed && past.highest(before) < ask.threshold;
  outcome.first_s = missing;
  outcome.above = past.peak(origin) >= ask.threshold;
  for (std::size_t i = ahead.from; outcome.saturated && i < ahead.to; ++i) {
    if (past.peak(i) < ask.threshold) continue;
    outcome.first_s = past.time(i) - at;
    break;
  }
  return outcome;
}

double median_step(const Past& past, Stretch s) {
  std::vector<double> steps;
  for (std::size_t i = s.from + 1; i < s.to; ++i) steps.push_back(past.time(i) - past.time(i - 1));
  if (steps.empty()) return missing;
  const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
  std::nth_element(steps.begin(), middle, steps.end());
  return *middle;
}

double step_at(const Past& past, std::size_t reading) {
  constexpr std::size_t some = 32;
  if (reading < some) return median_step(past, {0, std::min(past.size(), some + 1)});
  return median_step(past, {reading - some, reading + 1});
}

}  // namespace umbra::predict
