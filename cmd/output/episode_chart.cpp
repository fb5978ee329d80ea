// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/episode_chart.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/clock.hpp"
#include "cmd/output/plot.hpp"

namespace umbra::cmd {
namespace {

constexpr Frame measured_frame{60, 22, 990, 190};
constexpr Frame probability_frame{60, 230, 990, 70};
constexpr Frame both_frames{60, 22, 990, 278};
constexpr Range unit_height{0, 1};

std::string clock_text(double unix_s) {
  return minute_text(unix_s).substr(11);
}

std::string window_text(const BacktestPage& page) {
  return base::to_human(base::Seconds(page.ask.window_s));
}

/// The median distance of neighbours in time; 0 below two of them.
template <class Row>
double usual_step(const std::vector<Row>& rows) {
  std::vector<double> steps;
  for (std::size_t i = 1; i < rows.size(); ++i) steps.push_back(rows[i].time - rows[i - 1].time);
  if (steps.empty()) return 0;
  std::sort(steps.begin(), steps.end());
  return steps[steps.size() / 2];
}

/// Rows that follow each other without a hole; a line across a hole would tell what nobody measured.
template <class Row>
std::vector<std::span<const Row>> unbroken(const std::vector<Row>& rows) {
  constexpr double hole = 2.5;  // usual steps
  const double step = usual_step(rows);
  std::vector<std::span<const Row>> runs;
  for (std::size_t from = 0; from < rows.size();) {
    std::size_t to = from + 1;
    while (to < rows.size() && rows[to].time - rows[to - 1].time <= hole * step) ++to;
    runs.push_back(std::span(rows).subspan(from, to - from));
    from = to;
  }
  return runs;
}

template <class Row, class Value>
std::vector<Point> points_of(std::span<const Row> rows, Value value) {
  std::vector<Point> points;
  for (const Row& row : rows) points.push_back({row.time, value(row)});
  return points;
}

double highest_shown(const BacktestPage& page, const predict::Episode& episode) {
  double highest = std::max(1.0, page.ask.threshold);
  for (const auto& reading : episode.readings) highest = std::max(highest, reading.peak);
  for (const auto& v : episode.forecasts) highest = std::max(highest, v.peak.p90);
  return highest * 1.05;
}

void draw_measured(Markup& out, const BacktestPage& page, const predict::Episode& episode, Range time) {
  using predict::MeasuredReading;
  using predict::Verified;
  const Range height{0, highest_shown(page, episode)};
  const Plot plot(out, measured_frame, time, height);
  std::vector<Tick> ticks = time_ticks(time, 14);
  for (Tick& tick : ticks) tick.label.clear();
  plot.outline();
  plot.x_axis(ticks, "");
  plot.y_axis(number_ticks(height, 5), fmt::format("{}, share in use", model::to_string(page.resource)));
  for (const auto& run : unbroken(episode.forecasts)) {
    const auto of = [&](double model::Quantiles::*q) {
      return points_of(run, [&](const Verified& v) { return v.peak.*q; });
    };
    plot.band(of(&model::Quantiles::p10), of(&model::Quantiles::p90), "band");
    plot.line(of(&model::Quantiles::p50), "middle-line");
    plot.line(points_of(run, [](const Verified& v) { return v.outcome.peak; }), "came");
  }
  plot.horizontal(page.ask.threshold, "threshold");
  const auto several = [](const MeasuredReading& r) { return r.peak > r.value; };
  const bool peaks_differ = std::ranges::any_of(episode.readings, several);
  for (const auto& run : unbroken(episode.readings)) {
    if (peaks_differ) plot.line(points_of(run, [](const MeasuredReading& r) { return r.peak; }), "measured-peak");
    plot.line(points_of(run, [](const MeasuredReading& r) { return r.value; }), "measured");
  }
}

/// Behind the probabilities: where the window ahead did saturate.
void draw_truth(const Plot& plot, const predict::Episode& episode) {
  const auto& all = episode.forecasts;
  const double step = usual_step(all);
  for (std::size_t from = 0; from < all.size(); ++from) {
    if (!all[from].outcome.saturated) continue;
    std::size_t to = from;
    while (to + 1 < all.size() && all[to + 1].outcome.saturated && all[to + 1].time - all[to].time < 2.5 * step) ++to;
    plot.bar({all[from].time - step / 2, all[to].time + step / 2}, 1, "truth",
             "the window ahead of these did saturate");
    from = to;
  }
}

void draw_probability(Markup& out, const BacktestPage& page, const predict::Episode& episode, Range time) {
  const Plot plot(out, probability_frame, time, unit_height);
  plot.outline();
  draw_truth(plot, episode);
  plot.x_axis(time_ticks(time, 14), "");
  plot.y_axis({{0, "0"}, {0.5, "0.5"}, {1, "1"}}, "p(saturation)");
  for (const auto& run : unbroken(episode.forecasts)) {
    const auto p = points_of(run, [](const predict::Verified& v) { return v.p_saturation; });
    const auto floor = points_of(run, [](const predict::Verified&) { return 0.0; });
    plot.band(floor, p, "probability-area");
    plot.line(p, "probability");
  }
  plot.horizontal(page.alarm_level, "alarm-level");
}

/// Onsets that are told in words too: the episode's own, and those with room for it beside them.
std::vector<double> labelled_onsets(const predict::Episode& episode) {
  const double room = (episode.to - episode.from) * 0.075;
  std::vector<double> labelled;
  const auto has_room = [&](double at) {
    return std::ranges::none_of(labelled, [&](double other) { return std::abs(other - at) < room; });
  };
  if (std::ranges::count(episode.onset_times, episode.event.time) > 0) labelled.push_back(episode.event.time);
  for (const double at : episode.onset_times) {
    if (has_room(at)) labelled.push_back(at);
  }
  return labelled;
}

void draw_events(Markup& out, const predict::Episode& episode, Range time) {
  const Plot plot(out, both_frames, time, unit_height);
  for (const double at : episode.onset_times) plot.vertical(at, "onset", fmt::format("onset at {}", minute_text(at)));
  for (const double at : labelled_onsets(episode)) {
    plot.label({at, 1}, {0, -6}, "event middle", fmt::format("onset {}", clock_text(at)));
  }
  const auto& warned_at = episode.event.warned_at;
  if (!warned_at) return;
  const bool in_vain = episode.interest == predict::Interest::false_alarm;
  const std::string_view name = in_vain ? "false alarm" : "first alarm";
  plot.vertical(*warned_at, "alarm", fmt::format("{} at {}", name, minute_text(*warned_at)));
  plot.label({*warned_at, 1}, {-5, 13}, "event end", name);
}

/// Nothing to be seen: what the pointer finds over each forecast.
void draw_tooltips(Markup& out, const BacktestPage& page, const predict::Episode& episode, Range time) {
  const Plot plot(out, both_frames, time, unit_height);
  const double half = usual_step(episode.forecasts) / 2;
  for (const predict::Verified& v : episode.forecasts) {
    plot.bar({v.time - half, v.time + half}, 1, "hit",
             fmt::format("{} in use {:.2f}; next {}: peak {:.2f} to {:.2f}, middle {:.2f}, came to {:.2f}; p {:.2f}",
                         clock_text(v.time), v.now, window_text(page), v.peak.p10, v.peak.p90, v.peak.p50,
                         v.outcome.peak, v.p_saturation));
  }
}

std::string event_text(const BacktestPage& page, const predict::Episode& episode) {
  const predict::Event& event = episode.event;
  const std::string resource(model::to_string(page.resource));
  switch (episode.interest) {
    case predict::Interest::false_alarm:
      return fmt::format(
          "After a quiet window there were alarms from {} on, {:.2f} at the most; none of their windows came to more "
          "than "
          "{:.2f}.",
          minute_text(*event.warned_at), event.highest_p, event.peak);
    case predict::Interest::highest:
      return fmt::format("The highest forecast of all, {:.2f}, was made at {}; the window after it came to {:.2f}.",
                         event.highest_p, minute_text(event.time), event.peak);
    default:
      break;
  }
  const std::string reached =
      fmt::format("At {} {} reached {:g}", minute_text(event.time), resource, page.ask.threshold);
  if (!event.warned_at) {
    return fmt::format("{}; the most that was said in the {} before was {:.2f}, below the alarm level.", reached,
                       window_text(page), event.highest_p);
  }
  return fmt::format("{}; the first alarm came {} before, the highest forecast was {:.2f}.", reached,
                     base::to_human(base::Seconds(event.time - *event.warned_at)), event.highest_p);
}

}  // namespace

std::string minute_text(double unix_s) {
  const base::Instant at(base::Millis(static_cast<std::int64_t>(std::llround(unix_s * 1000))));
  std::string text = base::to_rfc3339(at).substr(0, 16);
  text[10] = ' ';
  return text;
}

std::string_view episode_title(predict::Interest interest) {
  switch (interest) {
    case predict::Interest::warned:
      return "an onset that was warned of";
    case predict::Interest::missed:
      return "an onset that was missed";
    case predict::Interest::false_alarm:
      return "a false alarm";
    case predict::Interest::typical:
      return "an onset of the VM with the median number of them";
    case predict::Interest::highest:
      return "the highest forecast";
  }
  return "";
}

std::string episode_text(const BacktestPage& page, const predict::Episode& episode) {
  return fmt::format(
      "{} In the whole trace this VM had {} onsets, {} of them with an alarm before, and {} false alarms.",
      event_text(page, episode), episode.onsets, episode.warned, episode.false_alarms);
}

void episode_legend(Markup& out) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> entries{
      {{"line measured", "measured"},
       {"line threshold", "threshold"},
       {"band", "forecast peak of the window ahead, p10 to p90"},
       {"line middle-line", "its p50"},
       {"line came", "what that peak came to"},
       {"line probability", "probability of saturation"},
       {"line alarm-level", "alarm level"},
       {"truth", "the window ahead did saturate"}}};
  out.in("ul", {{"class", "legend"}}, [&] {
    for (const auto& [style, text] : entries) {
      const bool line = style.starts_with("line");
      out.in("li", {}, [&, of = style, words = text] {
        out.in("svg", {{"class", "swatch"}, {"viewBox", "0 0 28 10"}, {"aria-hidden", "true"}}, [&] {
          out.leaf("path", {{"class", std::string(of)}, {"d", line ? "M1 5L27 5" : "M1 0L27 0L27 10L1 10Z"}});
        });
        out.text(words);
      });
    }
  });
}

void episode_chart(Markup& out, const BacktestPage& page, const predict::Episode& episode) {
  const Range time{episode.from, episode.to};
  const std::string label = fmt::format("{} from {} to {} UTC: measured use and forecasts", episode.vm.get(),
                                        minute_text(episode.from), minute_text(episode.to));
  out.in("svg", {{"viewBox", "0 0 1084 340"}, {"role", "img"}, {"aria-label", label}}, [&] {
    draw_measured(out, page, episode, time);
    draw_probability(out, page, episode, time);
    draw_events(out, episode, time);
    draw_tooltips(out, page, episode, time);
  });
}

}  // namespace umbra::cmd
