// SPDX-License-Identifier: Apache-2.0
#include "predict/features.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "base/error.hpp"
#include "predict/precedents.hpp"

namespace umbra::predict {
namespace {

constexpr int most_days = 14;

/// Appends one value after another; gathers their names where a list is given.
class Columns {
 public:
  Columns(std::vector<float>& row, std::vector<std::string>* names) : m_row(row), m_names(names) {}
  void add(const char* name, double value) {
    m_row.push_back(static_cast<float>(value));
    if (m_names != nullptr) m_names->emplace_back(name);
  }
  void add(const char* name, double of, double value) {
    m_row.push_back(static_cast<float>(value));
    if (m_names != nullptr) m_names->push_back(fmt::format("{}_{:g}", name, of));
  }

 private:
  std::vector<float>& m_row;
  std::vector<std::string>* m_names;
};

/// The features of one origin, group by group.
class Features {
 public:
  explicit Features(const View& view)
      : m_past(view.past),
        m_crossings(view.crossings),
        m_companion(view.companion),
        m_resource(view.resource),
        m_window(view.crossings.window_s()),
        m_threshold(view.crossings.threshold()),
        m_newest(view.past.size() - 1),
        m_origin(view.past.time(m_newest)),
        m_now(view.past.value(m_newest)),
        m_near(nearest(view.crossings.precedents(), likeness())) {}

  void course(Columns out) const {
    level(out);
    spans(out);
    windows_back(out);
    days(out);
    earlier_days(out);
    earlier_hours(out);
    for (const Nearest& near : m_near) rises(out, near);
    own(out);
    companion(out);
  }

  void crossings(Columns out) const {
    out.add("threshold", m_threshold);
    out.add("over", m_now - m_threshold);
    for (const double span : window_spans) {
      const Stretch s = since(span * m_window);
      out.add("share_above", span, m_crossings.share_above(s));
      out.add("highest_over", span, m_past.highest(s) - m_threshold);
      out.add("projected_over", span, projected(s) - m_threshold);
    }
    for (const double span : day_spans) {
      out.add("day_share_above", span, knows_days(span) ? m_crossings.share_above(since(span * day)) : missing);
      out.add("day_onsets", span, m_crossings.onsets_since(m_origin - span * day));
    }
    odds(out);
    rhythm(out);
    earlier_saturations(out);
    for (const Nearest& near : m_near) {
      const auto first = std::ranges::find_if(near.rises, [&](float r) { return m_now + r >= m_threshold; });
      out.add("near_reached", static_cast<double>(near.count),
              near.rises.empty() ? missing
                                 : static_cast<double>(near.rises.end() - first) / static_cast<double>(near.count));
    }
  }

 private:
  static constexpr std::array window_spans{0.5, 1., 2., 4., 12., 24.};
  static constexpr std::array day_spans{1., 7.};

  Stretch since(double seconds) const { return m_past.since(m_origin - seconds); }
  bool knows_days(double days) const { return days > 1 || m_origin - m_past.time(0) >= 0.9 * day; }

  /// Where a line through that stretch is a window from now.
  double projected(Stretch s) const { return m_now + m_past.shape(s).slope * m_window; }

  void level(Columns& out) const {
    out.add("now", m_now);
    out.add("steps", std::log(m_window / step()));
    out.add("windows_known", std::log(1 + (m_origin - m_past.time(0)) / m_window));
    out.add("is_memory", m_resource == model::Resource::memory || m_resource == model::Resource::gpu_memory ? 1 : 0);
    for (std::size_t back = 1; back <= 6; ++back) out.add("value", static_cast<double>(back), value_back(back));
    for (std::size_t back = 1; back <= 2; ++back) out.add("rise", static_cast<double>(back), m_now - value_back(back));
  }

  void spans(Columns& out) const {
    for (const double span : window_spans) {
      const Stretch s = since(span * m_window);
      const Shape shape = m_past.shape(s);
      out.add("mean", span, shape.mean);
      out.add("highest", span, m_past.highest(s));
      out.add("lowest", span, m_past.lowest(s));
      out.add("spread", span, shape.spread);
      out.add("slope", span, shape.slope * m_window);
      out.add("walk", span, shape.walk);
      out.add("projected", span, projected(s));
    }
  }

  void windows_back(Columns& out) const {
    for (int back = 1; back <= 12; ++back) {
      const double until = m_origin - back * m_window;
      out.add("highest_back", back, m_past.highest(m_past.between(until - m_window, until)));
    }
  }

  void days(Columns& out) const {
    for (const double span : day_spans) {
      const bool known = knows_days(span);
      const Stretch s = since(span * day);
      const Shape shape = m_past.shape(s);
      out.add("day_mean", span, known ? shape.mean : missing);
      out.add("day_highest", span, known ? m_past.highest(s) : missing);
      out.add("day_spread", span, known ? shape.spread : missing);
      out.add("day_walk", span, known ? shape.walk : missing);
    }
  }

  /// How often saturation followed so far, drawn towards little where little is known.
  void odds(Columns& out) const {
    const Odds all = m_crossings.all();
    const Odds quiet = m_crossings.quiet();
    const Odds loud = m_crossings.loud();
    out.add("share_above_ever", m_crossings.share_above(m_past.whole()));
    out.add("odds", (all.saturated + 0.5) / (all.origins + 10));
    out.add("odds_quiet", (quiet.saturated + 0.1) / (quiet.origins + 10));
    out.add("odds_loud", (loud.saturated + 1) / (loud.origins + 2));
    out.add("since_above", (m_origin - m_crossings.last_above()) / m_window);
    out.add("run", m_crossings.above() ? (m_origin - m_crossings.run_start()) / m_window : 0);
    out.add("since_onset", since_onset() / m_window);
    for (const double span : {1., 4., 12.})
      out.add("onsets", span, m_crossings.onsets_since(m_origin - span * m_window));
  }

  /// Regular jobs: how far the onsets lie apart, how long the runs last, and where in that the origin is.
  void rhythm(Columns& out) const {
    std::vector<double> apart;
    const std::vector<double>& onsets = m_crossings.onsets();
    for (std::size_t i = onsets.size(); i-- > 1 && apart.size() < 9;) apart.push_back(onsets[i] - onsets[i - 1]);
    std::sort(apart.begin(), apart.end());
    const double usual = apart.empty() ? missing : apart[apart.size() / 2];
    const double shortest = apart.empty() ? missing : apart.front();
    out.add("apart", usual / m_window);
    out.add("apart_least", shortest / m_window);
    out.add("phase", (since_onset() + m_window / 2) / usual);

    const std::vector<double>& lengths = m_crossings.run_lengths();
    const auto recent = static_cast<std::ptrdiff_t>(std::min<std::size_t>(lengths.size(), 9));
    const double length =
        recent == 0 ? missing
                    : std::accumulate(lengths.end() - recent, lengths.end(), 0.0) / static_cast<double>(recent);
    out.add("run_length", length / m_window);
    out.add("run_part", m_crossings.above() ? (m_origin - m_crossings.run_start()) / length : missing);
  }

  /// What the same stretch of the clock, the window ahead, brought on earlier days.
  void earlier_days(Columns& out) const {
    double count = 0;
    double sum = 0;
    for (int back = 1; back <= most_days; ++back) {
      const EarlierDay earlier = day_back(back);
      if (!std::isnan(earlier.highest)) {
        count += 1;
        sum += earlier.highest;
      }
      if (back != 1 && back != 2 && back != 7) continue;
      out.add("back_highest", back, earlier.highest);
      out.add("back_highest_about", back, earlier.highest_about);
      out.add("back_level", back, m_now - earlier.level);
      out.add("back_rise", back, earlier.highest - earlier.level);
    }
    out.add("back_mean", count > 0 ? sum / count : missing);
    const double clock = std::fmod(m_origin, day);
    out.add("hour_of_day", clock / hour);
    out.add("minute_of_hour", std::fmod(clock, hour) / 60);
  }

  void earlier_saturations(Columns& out) const {
    double count = 0;
    double reached = 0;
    double reached_about = 0;
    for (int back = 1; back <= most_days; ++back) {
      const EarlierDay earlier = day_back(back);
      if (std::isnan(earlier.highest)) continue;
      count += 1;
      reached += earlier.highest >= m_threshold ? 1 : 0;
      reached_about += earlier.highest_about >= m_threshold ? 1 : 0;
    }
    out.add("back_reached", count > 0 ? reached / count : missing);
    out.add("back_reached_about", count > 0 ? reached_about / count : missing);
  }

  void earlier_hours(Columns& out) const {
    for (const double hours : {1., 2., 3., 4., 6., 8., 12.}) {
      const double then = m_origin - hours * hour;
      const bool over = hours * hour >= m_window;  // else that stretch reaches past the origin
      out.add("hours_back_highest", hours, over ? m_past.highest(m_past.between(then, then + m_window)) : missing);
    }
  }

  Precedent likeness() const {
    return {static_cast<float>(m_now), static_cast<float>(m_past.mean(since(m_window))),
            static_cast<float>(m_past.highest(since(4 * m_window))), 0};
  }

  void rises(Columns& out, const Nearest& near) const {
    const auto of = static_cast<double>(near.count);
    const auto rise = [&](std::size_t i) { return near.rises.empty() ? missing : near.rises[i]; };
    out.add("near_distance", of, near.distance);
    out.add("near_rise_10", of, rise(near.count / 10));
    out.add("near_rise_50", of, rise(near.count / 2));
    out.add("near_rise_90", of, rise(near.count - 1 - near.count / 10));
  }

  void own(Columns& out) const {
    const auto rises = own_rises(m_crossings.precedents());
    for (std::size_t i = 0; i < rises.size(); ++i) out.add("own_rise", own_percents[i], rises[i]);
  }

  void companion(Columns& out) const {
    static const Past none;
    const Past& other = m_companion == nullptr ? none : *m_companion;
    const std::size_t n = other.size();
    const Stretch window = other.since(m_origin - m_window);
    const Stretch four = other.since(m_origin - 4 * m_window);
    const Shape shape = other.shape(window);
    out.add("companion_now", n > 0 ? other.value(n - 1) : missing);
    out.add("companion_rise", n > 1 ? other.value(n - 1) - other.value(n - 2) : missing);
    out.add("companion_mean", 1, shape.mean);
    out.add("companion_highest", 1, other.highest(window));
    out.add("companion_mean", 4, other.shape(four).mean);
    out.add("companion_highest", 4, other.highest(four));
    out.add("companion_slope", 1, shape.slope * m_window);
  }

  struct EarlierDay {
    double highest = missing;        ///< over the window ahead
    double highest_about = missing;  ///< the same with a third of a window on either side
    double level = missing;          ///< of the half window before
  };

  EarlierDay day_back(int days) const {
    const double then = m_origin - days * day;
    if (then < m_past.time(0)) return {};
    return {m_past.highest(m_past.between(then, then + m_window)),
            m_past.highest(m_past.between(then - m_window / 3, then + m_window * 4 / 3)),
            m_past.shape(m_past.between(then - m_window / 2, then)).mean};
  }

  double value_back(std::size_t back) const { return m_newest >= back ? m_past.value(m_newest - back) : missing; }
  double since_onset() const { return m_crossings.onsets().empty() ? missing : m_origin - m_crossings.onsets().back(); }

  /// Typical seconds between readings.
  double step() const {
    const std::size_t steps = std::min<std::size_t>(m_newest, 12);
    if (steps == 0) return missing;
    return (m_origin - m_past.time(m_newest - steps)) / static_cast<double>(steps);
  }

  const Past& m_past;
  const Crossings& m_crossings;
  const Past* m_companion;
  model::Resource m_resource;
  double m_window;
  double m_threshold;
  std::size_t m_newest;
  double m_origin;
  double m_now;
  std::array<Nearest, 2> m_near;
};

struct Names {
  std::vector<std::string> all;
  std::size_t course = 0;
};

const Names& names() {
  static const Names gathered = [] {
    Past past;
    past.append(0, 0, 0);
    Crossings crossings(1, 60);
    crossings.follow(past);
    const Features features({past, crossings, nullptr, model::Resource::cpu});
    std::vector<float> row;
    Names names;
    features.course(Columns(row, &names.all));
    names.course = names.all.size();
    features.crossings(Columns(row, &names.all));
    return names;
  }();
  return gathered;
}

}  // namespace

model::Resource companion_of(model::Resource resource) {
  switch (resource) {
    case model::Resource::cpu:
      return model::Resource::memory;
    case model::Resource::gpu:
      return model::Resource::gpu_memory;
    case model::Resource::gpu_memory:
      return model::Resource::gpu;
    case model::Resource::memory:
    case model::Resource::net:
    case model::Resource::disk:
      break;
  }
  return model::Resource::cpu;
}

void append_features(const View& view, std::vector<float>& row) {
  const Features features(view);
  features.course(Columns(row, nullptr));
  features.crossings(Columns(row, nullptr));
}

const std::vector<std::string>& feature_names() {
  return names().all;
}

std::size_t course_columns() {
  return names().course;
}

std::size_t feature_column(std::string_view name) {
  const auto& all = names().all;
  const auto it = std::ranges::find(all, name);
  if (it == all.end()) throw base::Error(base::Kind::internal, fmt::format("no feature is named {}", name));
  return static_cast<std::size_t>(it - all.begin());
}

const std::vector<std::size_t>& telling_columns() {
  static const std::vector<std::size_t> columns = [] {
    constexpr std::array exact{"steps",      "windows_known", "is_memory", "mean_12",     "share_above_ever", "odds",
                               "odds_quiet", "odds_loud",     "apart",     "apart_least", "run_length"};
    std::vector<std::size_t> telling;
    const std::vector<std::string>& all = names().all;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].starts_with("day_") || all[i].starts_with("own_rise") || all[i].ends_with("_24")) telling.push_back(i);
    }
    for (const char* name : exact) telling.push_back(feature_column(name));
    return telling;
  }();
  return columns;
}

}  // namespace umbra::predict
