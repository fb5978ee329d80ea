// SPDX-License-Identifier: Apache-2.0
#include "predict/learning_forecaster.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "predict/sharpening.hpp"

namespace umbra::predict {
namespace {

/// Hours known at an early lesson, counted from the first sixth hour of the clock.
constexpr std::array early_lessons{6, 12, 18, 24, 36, 48};
constexpr double early_unit = 6 * hour;
/// Days known at a lesson; after the last of them one a fortnight.
constexpr std::array lessons{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 23, 26, 30};
constexpr double later_lessons = 14;
/// Of few VMs in a few hours trees learn which did what: before the third day as many must be known, and have
/// saturated.
constexpr std::size_t least_early_vms = 100;
constexpr std::size_t least_early_saturating_vms = 20;

/// The newest time at or before `origin` that a lesson falls on; nothing before the first.
std::optional<double> lesson_before(double first, double origin) {
  std::optional<double> until;
  const double early_zero = std::ceil(first / early_unit) * early_unit;
  for (const double known : early_lessons) {
    if (origin >= early_zero + known * hour) until = early_zero + known * hour;
  }
  const double zero = std::ceil(first / day);  // midnight after the first sample
  const double known = std::floor(origin / day) - zero;
  if (known < lessons.front()) return until;
  double at = lessons.front();
  for (const double next : lessons) at = known >= next ? next : at;
  if (known > lessons.back()) at += std::floor((known - lessons.back()) / later_lessons) * later_lessons;
  return (zero + at) * day;
}

/// Is that lesson one of the first days'?
bool is_early(double first, double until) {
  return until < (std::ceil(first / day) + lessons.front()) * day;
}

/// What a lesson asks: thresholds that lie near each other share one.
Ask lesson_ask(const Crossings& crossings) {
  return {std::clamp(std::round(10 * crossings.threshold()) / 10, 0.1, 1.0), crossings.window_s()};
}

/// When the fleet's readings begin, and begin anew after a gap of months: rising. A stray row of a wrong clock, long
/// before all others, does not move the lessons.
std::vector<double> beginnings_of(std::span<const model::Series> series) {
  std::vector<std::pair<base::Instant, base::Instant>> spells;
  for (const model::Series& one : series) {
    for (const model::Sample& sample : one.samples) {
      const bool anew = &sample == &one.samples.front() || sample.at - spells.back().second > model::longest_gap;
      if (anew) spells.emplace_back(sample.at, sample.at);
      spells.back().second = sample.at;
    }
  }
  std::ranges::sort(spells);
  std::vector<double> beginnings;
  base::Instant until;
  for (const auto& [from, to] : spells) {
    if (beginnings.empty() || from - until > model::longest_gap) beginnings.push_back(unix_seconds(from));
    until = std::max(until, to);
  }
  return beginnings;
}

}  // namespace

LearningForecaster::LearningForecaster(std::shared_ptr<const LoadedModel> model, const ports::TreeGrower& grower,
                                       std::span<const model::Series> series, Told told)
    : m_model(std::move(model)),
      m_grower(grower),
      m_series(series),
      m_told(std::move(told)),
      m_beginnings(beginnings_of(series)) {}

void LearningForecaster::ask(const View& view) {
  const double origin = view.past.time(view.past.size() - 1);
  const auto later = std::ranges::upper_bound(m_beginnings, origin);
  std::optional<double> until;
  bool early = false;
  if (later != m_beginnings.begin()) {
    const double first = *std::prev(later);
    until = lesson_before(first, origin);
    early = until && is_early(first, *until);
  }
  const Ask asked = lesson_ask(view.crossings);
  const Key key{view.resource, until.value_or(0), asked.window_s, asked.threshold};
  const auto [it, fresh] = m_lessons.try_emplace(key, Lesson{TreeForecaster(m_model), until.has_value(), early});
  it->second.forecaster.ask(view);
  m_asked.push_back(key);
}

std::vector<Estimate> LearningForecaster::answers() {
  struct Answers {
    std::vector<Estimate> estimates;
    std::size_t next = 0;
  };
  std::map<Key, Answers> by_lesson;
  std::vector<Estimate> all;
  for (const Key& key : m_asked) {
    Lesson& lesson = m_lessons.at(key);
    if (lesson.is_due) learn(lesson, key);
    const auto [it, fresh] = by_lesson.try_emplace(key);
    if (fresh) it->second.estimates = lesson.forecaster.answers();
    all.push_back(it->second.estimates[it->second.next++]);
    all.back().learned = lesson.has_taught;
  }
  m_asked.clear();
  return all;
}

void LearningForecaster::learn(Lesson& lesson, const Key& key) const {
  const auto [resource, until, window_s, threshold] = key;
  SiteLot lot;
  lot.resources = {resource};
  lot.ask = Ask{threshold, window_s};
  lot.until = until;
  if (lesson.is_early) {
    lot.least_vms = least_early_vms;
    lot.least_saturating_vms = least_early_saturating_vms;
  }
  const Sharpened sharpened = sharpen(*m_model, m_series, lot, m_grower, m_told);
  m_told(fmt::format("lesson in {} up to {}: {}", model::to_string(resource), base::to_rfc3339(instant_of(until)),
                     sharpened.verdict));
  lesson.is_due = false;
  if (!sharpened.layer) return;
  lesson.forecaster.use(std::make_shared<const LoadedModel>(m_model->with(*sharpened.layer, m_grower)));
  lesson.has_taught = true;
}

}  // namespace umbra::predict
