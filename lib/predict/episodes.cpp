// SPDX-License-Identifier: Apache-2.0
#include "predict/episodes.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include "predict/walk.hpp"

namespace umbra::predict {
namespace {

constexpr double windows_before = 6;
constexpr double windows_after = 4;
constexpr std::size_t most_readings = 600;
constexpr std::size_t most_forecasts = 240;

/// What one VM's forecasts came to.
struct Tally {
  std::vector<Event> onsets;
  std::vector<Event> warned;
  std::vector<Event> missed;
  std::vector<Event> false_alarms;
};
using Tallies = std::map<std::size_t, Tally>;  // by VM

struct Choice {
  Interest interest;
  Event event;
};

Tallies tallies_of(std::span<const Verified> verified, double alarm_level, double window_s) {
  Tallies all;
  for (const Event& event : onsets_of(verified, alarm_level, window_s)) {
    Tally& tally = all[event.vm];
    tally.onsets.push_back(event);
    (event.warned_at ? tally.warned : tally.missed).push_back(event);
  }
  for (const Event& event : false_alarms_of(verified, alarm_level, window_s)) {
    all[event.vm].false_alarms.push_back(event);
  }
  return all;
}

const std::vector<Event>& events_of(const Tally& tally, Interest interest) {
  switch (interest) {
    case Interest::warned:
      return tally.warned;
    case Interest::missed:
      return tally.missed;
    case Interest::false_alarm:
      return tally.false_alarms;
    case Interest::typical:
    case Interest::highest:
      return tally.onsets;
  }
  return tally.onsets;
}

/// Takes one choice after the other; none overlaps those before it.
class Chooser {
 public:
  Chooser(const Tallies& tallies, double window_s)
      : m_tallies(tallies), m_apart_s((windows_before + windows_after) * window_s) {}

  void take(Interest interest) {
    const auto choice = interest == Interest::typical ? typical() : best(interest);
    if (choice) m_taken.push_back({interest, *choice});
  }
  const std::vector<Choice>& taken() const { return m_taken; }

 private:
  /// The middle one in time of those that overlap nothing taken.
  std::optional<Event> middle(const std::vector<Event>& events) const {
    std::vector<Event> open;
    std::ranges::copy_if(events, std::back_inserter(open), [&](const Event& event) {
      return std::ranges::none_of(m_taken, [&](const Choice& other) {
        return other.event.vm == event.vm && std::abs(other.event.time - event.time) < m_apart_s;
      });
    });
    return open.empty() ? std::nullopt : std::optional(open[open.size() / 2]);
  }

  std::optional<Event> best(Interest interest) const {
    using Rank = std::tuple<std::ptrdiff_t, std::size_t>;  // seldom taken first, then the most events
    std::optional<Event> found;
    Rank highest;
    for (const auto& [vm, tally] : m_tallies) {
      const std::vector<Event>& events = events_of(tally, interest);
      const auto event = middle(events);
      if (!event) continue;
      const auto times = std::ranges::count_if(m_taken, [&, of = vm](const Choice& c) { return c.event.vm == of; });
      const Rank rank{-times, events.size()};
      if (found && rank <= highest) continue;
      found = event;
      highest = rank;
    }
    return found;
  }

  std::optional<Event> typical() const {
    std::vector<std::pair<std::size_t, std::size_t>> counts;  // onsets, VM
    for (const auto& [vm, tally] : m_tallies) {
      if (!tally.onsets.empty()) counts.emplace_back(tally.onsets.size(), vm);
    }
    if (counts.empty()) return std::nullopt;
    std::sort(counts.begin(), counts.end());
    return middle(m_tallies.at(counts[counts.size() / 2].second).onsets);
  }

  const Tallies& m_tallies;
  double m_apart_s;
  std::vector<Choice> m_taken;
};

std::vector<Choice> choices(std::span<const Verified> verified, const Tallies& tallies, double window_s,
                            std::size_t most) {
  constexpr std::array order{Interest::warned,  Interest::missed, Interest::false_alarm,
                             Interest::typical, Interest::warned, Interest::missed};
  Chooser chooser(tallies, window_s);
  for (std::size_t i = 0; i < order.size() && chooser.taken().size() < most; ++i) chooser.take(order[i]);
  if (!chooser.taken().empty() || verified.empty() || most == 0) return chooser.taken();
  const auto loudest = std::ranges::max_element(verified, {}, &Verified::p_saturation);
  return {{Interest::highest, {loudest->vm, loudest->time, loudest->p_saturation, loudest->outcome.peak, {}}}};
}

/// The highest of each few neighbours where there are too many.
std::vector<MeasuredReading> readings_of(const Past& past, Stretch stretch) {
  std::vector<MeasuredReading> readings;
  const std::size_t together = (stretch.to - stretch.from + most_readings - 1) / most_readings;
  for (std::size_t i = stretch.from; i < stretch.to; ++i) {
    const MeasuredReading next{past.time(i), past.value(i), past.peak(i)};
    if ((i - stretch.from) % together == 0) {
      readings.push_back(next);
    } else if (next.peak > readings.back().peak) {
      readings.back() = next;
    }
  }
  return readings;
}

std::vector<Verified> forecasts_of(std::span<const Verified> verified, const Episode& episode) {
  std::vector<Verified> within;
  std::ranges::copy_if(verified, std::back_inserter(within), [&](const Verified& v) {
    return v.vm == episode.event.vm && v.time >= episode.from && v.time <= episode.to;
  });
  const std::size_t every = (within.size() + most_forecasts - 1) / most_forecasts;
  std::vector<Verified> kept;
  for (std::size_t i = 0; i < within.size(); i += every) kept.push_back(within[i]);
  return kept;
}

Episode episode_of(const Choice& choice, std::span<const model::Series> series, const BacktestPlan& plan,
                   std::span<const Verified> verified, const Tally& tally) {
  Episode episode;
  episode.interest = choice.interest;
  episode.vm = series[choice.event.vm].vm;
  episode.onsets = tally.onsets.size();
  episode.warned = tally.warned.size();
  episode.false_alarms = tally.false_alarms.size();
  episode.event = choice.event;
  episode.from = choice.event.time - windows_before * plan.ask.window_s;
  episode.to = choice.event.time + windows_after * plan.ask.window_s;
  const Past past = past_of(series[choice.event.vm], plan.resource);
  episode.readings = readings_of(past, past.between(episode.from, episode.to));
  episode.forecasts = forecasts_of(verified, episode);
  for (const Event& onset : tally.onsets) {
    if (onset.time >= episode.from && onset.time <= episode.to) episode.onset_times.push_back(onset.time);
  }
  return episode;
}

}  // namespace

std::vector<Episode> episodes(std::span<const model::Series> series, const BacktestPlan& plan,
                              std::span<const Verified> verified, double alarm_level, std::size_t most) {
  Tallies tallies = tallies_of(verified, alarm_level, plan.ask.window_s);
  std::vector<Episode> all;
  for (const Choice& choice : choices(verified, tallies, plan.ask.window_s, most)) {
    all.push_back(episode_of(choice, series, plan, verified, tallies[choice.event.vm]));
  }
  return all;
}

}  // namespace umbra::predict
