// SPDX-License-Identifier: Apache-2.0
#include "predict/thresholds.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/clock.hpp"
#include "predict/habit.hpp"

namespace umbra::predict {
namespace {

using model::Priority;
using model::Resource;

constexpr double highest_learned = 0.98;

Steadiness steadiness_of(Resource resource) {
  const bool ends_a_guest = resource == Resource::memory || resource == Resource::gpu_memory;
  return ends_a_guest ? Steadiness{0.02, 0.005} : Steadiness{1, 0.02};
}

/// How far the default lies higher for that priority.
double shift_of(Priority priority) {
  switch (priority) {
    case Priority::critical:
      return -0.02;
    case Priority::high:
      return -0.01;
    case Priority::normal:
      return 0;
    case Priority::low:
      return 0.02;
  }
  return 0;
}

/// How far a learned threshold lies on the way from the ordinary level to full.
double part_of(Priority priority) {
  switch (priority) {
    case Priority::critical:
      return 0.25;
    case Priority::high:
      return 0.375;
    case Priority::normal:
      return 0.5;
    case Priority::low:
      return 0.75;
  }
  return 0.5;
}

double to_thousandths(double x) {
  return std::round(x * 1000) / 1000;
}

/// "; critical: 0.02 earlier"; nothing where the priority makes no difference.
std::string shifted(Priority priority, double shift) {
  if (shift == 0) return "";
  return fmt::format("; {}: {:.3g} {}", to_string(priority), std::abs(shift), shift < 0 ? "earlier" : "later");
}

/// Why the habit changes nothing.
std::string why_not_learned(const Habit& habit, double level) {
  const std::string reached =
      fmt::format("at {:.2f} or above for {:.0f} % of the last {} days", level, 100 * habit.share, habit.days);
  switch (habit.kind) {
    case Habit::Kind::never:
      return fmt::format("has not reached {:.2f} in {} of history", level, base::to_human(base::Seconds(habit.span_s)));
    case Habit::Kind::unknown:
      return fmt::format("reaches {:.2f}, but there are {} days of readings to learn from, and {} are needed", level,
                         habit.days, least_days);
    case Habit::Kind::occasional:
      return fmt::format("{}, on {} of them for long: not its ordinary level", reached, habit.usual);
    case Habit::Kind::passing:
      return fmt::format("{}, but passes through without holding a level", reached);
    case Habit::Kind::rising:
      return fmt::format("{}, but rising, from {:.3g} to {:.3g}", reached, habit.early, habit.late);
    case Habit::Kind::ordinary:
      break;
  }
  return fmt::format("{}, up to {:.3g}: so near full that what it lacks cannot be seen", reached, habit.height());
}

Threshold learned(const Habit& habit, double level, Priority priority) {
  const double ordinary = habit.height();
  const auto between = [&](Priority p) {
    return to_thousandths(std::min(highest_learned, ordinary + part_of(p) * (1 - ordinary)));
  };
  const double value = between(priority);
  return {{value},
          "learned",
          fmt::format("runs at {:.2f} or above for {:.0f} % of the last {} days, mostly up to {:.3g}, without rising "
                      "further{}",
                      level, 100 * habit.share, habit.days, ordinary,
                      shifted(priority, value - between(Priority::normal)))};
}

Threshold by_default(const Habit& habit, Resource resource, Priority priority, const Past& past) {
  constexpr double least_shift = 0.01;
  const double level = default_threshold(resource);
  const double wanted = shift_of(priority);
  double shift = wanted;
  const auto is_ordinary = [&](double earlier) {
    return habit_at(earlier, past, steadiness_of(resource)).kind == Habit::Kind::ordinary;
  };
  // By steps, so that a critical VM's never lies above a high one's.
  while (shift < 0 && is_ordinary(level + shift)) shift = std::min(0.0, to_thousandths(shift + least_shift));
  std::string reason = why_not_learned(habit, level) + shifted(priority, shift);
  if (shift != wanted)
    reason += fmt::format("; {}, but {:.2f} is ordinary for it", to_string(priority), level + wanted);
  return {{to_thousandths(level + shift)}, "default", reason};
}

}  // namespace

double default_threshold(Resource resource) {
  switch (resource) {
    case Resource::cpu:
    case Resource::gpu:
    case Resource::disk:
      return 0.90;
    case Resource::memory:
    case Resource::gpu_memory:
      return 0.92;
    case Resource::net:
      return 0.85;
  }
  return 0.90;
}

Threshold threshold_of(Resource resource, std::optional<model::Fraction> configured, Priority priority,
                       const Past& past) {
  if (configured) return {*configured, "configured", "set in the configuration"};
  const double level = default_threshold(resource);
  const Habit habit = habit_at(level, past, steadiness_of(resource));
  const bool taught = habit.kind == Habit::Kind::ordinary && habit.height() < highest_learned;
  return taught ? learned(habit, level, priority) : by_default(habit, resource, priority, past);
}

}  // namespace umbra::predict
