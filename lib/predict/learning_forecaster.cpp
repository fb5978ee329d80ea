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

/// Days known at a lesson; after the last of them one a fortnight.
constexpr std::array lessons{3, 4, 5, 6, 7, 9, 11, 14, 18, 23, 30};
constexpr double later_lessons = 14;

/// The newest midnight at or before `origin` that a lesson falls on; nothing before the first.
std::optional<double> lesson_before(double first, double origin) {
  const double zero = std::ceil(first / day);  // midnight after the first sample
  const double known = std::floor(origin / day) - zero;
  if (known < lessons.front()) return std::nullopt;
  double at = lessons.front();
  for (const double next : lessons) at = known >= next ? next : at;
  if (known > lessons.back()) at += std::floor((known - lessons.back()) / later_lessons) * later_lessons;
  return (zero + at) * day;
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
  const std::optional<double> until =
      later == m_beginnings.begin() ? std::nullopt : lesson_before(*std::prev(later), origin);
  const Key key{view.resource, until.value_or(0)};
  const auto [it, fresh] = m_lessons.try_emplace(key, Lesson{TreeForecaster(m_model), until.has_value()});
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
    if (lesson.is_due) learn(lesson, key.first, key.second);
    const auto [it, fresh] = by_lesson.try_emplace(key);
    if (fresh) it->second.estimates = lesson.forecaster.answers();
    all.push_back(it->second.estimates[it->second.next++]);
    all.back().learned = lesson.has_taught;
  }
  m_asked.clear();
  return all;
}

void LearningForecaster::learn(Lesson& lesson, model::Resource resource, double until) const {
  SiteLot lot;
  lot.resources = {resource};
  lot.until = until;
  const Sharpened sharpened = sharpen(*m_model, m_series, lot, m_grower, m_told);
  m_told(fmt::format("lesson in {} up to {}: {}", model::to_string(resource), base::to_rfc3339(instant_of(until)),
                     sharpened.verdict));
  lesson.is_due = false;
  if (!sharpened.layer) return;
  lesson.forecaster.use(std::make_shared<const LoadedModel>(m_model->with(*sharpened.layer, m_grower)));
  lesson.has_taught = true;
}

}  // namespace umbra::predict
