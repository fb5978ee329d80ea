// SPDX-License-Identifier: Apache-2.0
#include "predict/learning_forecaster.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

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

double first_sample(std::span<const model::Series> series) {
  double first = std::numeric_limits<double>::infinity();
  for (const model::Series& one : series) {
    if (!one.samples.empty()) first = std::min(first, unix_seconds(one.samples.front().at));
  }
  return first;
}

}  // namespace

LearningForecaster::LearningForecaster(std::shared_ptr<const LoadedModel> model, const ports::TreeGrower& grower,
                                       std::span<const model::Series> series, Told told)
    : m_model(std::move(model)),
      m_grower(grower),
      m_series(series),
      m_told(std::move(told)),
      m_first(first_sample(series)) {}

void LearningForecaster::ask(const View& view) {
  TreeForecaster& known = known_at(view.resource, view.past.time(view.past.size() - 1));
  known.ask(view);
  m_asked.push_back(&known);
}

std::vector<Estimate> LearningForecaster::answers() {
  struct Answers {
    std::vector<Estimate> estimates;
    std::size_t next = 0;
  };
  std::map<TreeForecaster*, Answers> by_forecaster;
  std::vector<Estimate> all;
  for (TreeForecaster* asked : m_asked) {
    const auto [it, fresh] = by_forecaster.try_emplace(asked);
    if (fresh) it->second.estimates = asked->answers();
    all.push_back(it->second.estimates[it->second.next++]);
  }
  m_asked.clear();
  return all;
}

TreeForecaster& LearningForecaster::known_at(model::Resource resource, double origin) {
  const double until = lesson_before(m_first, origin).value_or(-1);  // one for all who know too little
  const auto it = m_by_midnight.find({resource, until});
  if (it != m_by_midnight.end()) return it->second;
  return m_by_midnight
      .emplace(std::pair(resource, until), TreeForecaster(until < 0 ? m_model : learned(resource, until)))
      .first->second;
}

std::shared_ptr<const LoadedModel> LearningForecaster::learned(model::Resource resource, double until) {
  SiteLot lot;
  lot.resources = {resource};
  lot.until = until;
  const Sharpened sharpened = sharpen(*m_model, m_series, lot, m_grower, [](const std::string&) {});
  m_told(fmt::format("{} up to {}: {}", model::to_string(resource), base::to_rfc3339(instant_of(until)),
                     sharpened.verdict));
  if (!sharpened.layer) return m_model;
  m_has_learned = true;
  return std::make_shared<const LoadedModel>(m_model->with(*sharpened.layer, m_grower));
}

}  // namespace umbra::predict
