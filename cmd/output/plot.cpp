// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/plot.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/clock.hpp"

namespace umbra::cmd {
namespace {

constexpr double tick_length = 4;
constexpr double whole_day = 86400;

/// Where a value lies between the ends of a range, 0 to 1; beyond them at the nearer end.
double share(Range range, double value) {
  if (!(range.to > range.from)) return 0;
  return std::clamp((value - range.from) / (range.to - range.from), 0.0, 1.0);
}

base::Instant instant_of(double unix_s) {
  return base::Instant(base::Millis(static_cast<std::int64_t>(std::llround(unix_s * 1000))));
}

}  // namespace

std::vector<Tick> number_ticks(Range range, std::size_t about) {
  const double wanted = (range.to - range.from) / static_cast<double>(about);
  if (!(wanted > 0)) return {};
  const double power = std::pow(10, std::floor(std::log10(wanted)));
  const double step = power * (wanted / power < 1.5 ? 1 : wanted / power < 3.5 ? 2 : wanted / power < 7.5 ? 5 : 10);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  std::vector<Tick> ticks;
  const auto first = static_cast<std::int64_t>(std::ceil(range.from / step - 1e-9));
  for (std::int64_t i = first; static_cast<double>(i) * step <= range.to + step * 1e-9; ++i) {
    const double at = static_cast<double>(i) * step;
    ticks.push_back({at, fmt::format("{:.{}f}", at, decimals)});
  }
  return ticks;
}

std::vector<Tick> time_ticks(Range range, std::size_t most) {
  static constexpr std::array<double, 18> steps{5,     10,    30,        60,       120,      300,
                                                600,   900,   1800,      3600,     7200,     10800,
                                                21600, 43200, whole_day, 172800.0, 604800.0, 2419200.0};
  const auto count = [&](double step) { return std::floor(range.to / step) - std::ceil(range.from / step) + 1; };
  const auto fits = std::ranges::find_if(steps, [&](double s) { return count(s) <= static_cast<double>(most); });
  const double step = fits == steps.end() ? (range.to - range.from) / static_cast<double>(most) : *fits;
  std::vector<Tick> ticks;
  std::string day;
  for (double at = std::ceil(range.from / step) * step; at <= range.to && step > 0; at += step) {
    const std::string text = base::to_rfc3339(instant_of(at));
    Tick tick{at, text.substr(11, step < 60 ? 8 : 5)};
    if (text.substr(0, 10) != day) tick.below = day = text.substr(0, 10);
    if (step >= whole_day) tick = {at, day, ""};
    ticks.push_back(tick);
  }
  return ticks;
}

void Plot::outline() const {
  m_out.leaf("rect", {{"class", "frame"},
                      {"x", pixels(m_frame.left)},
                      {"y", pixels(m_frame.top)},
                      {"width", pixels(m_frame.width)},
                      {"height", pixels(m_frame.height)}});
}

Point Plot::place(Point p) const {
  return {m_frame.left + share(m_x, p.x) * m_frame.width, m_frame.top + (1 - share(m_y, p.y)) * m_frame.height};
}

std::string Plot::path(std::span<const Point> points) const {
  std::string text;
  for (const Point& point : points) {
    const Point at = place(point);
    text += fmt::format("{}{} {}", text.empty() ? "M" : "L", pixels(at.x), pixels(at.y));
  }
  return text;
}

void Plot::titled(std::string_view name, Markup::Attributes attributes, const std::string& tooltip) const {
  m_out.in(name, attributes, [&] { m_out.element("title", {}, tooltip); });
}

void Plot::x_axis(const std::vector<Tick>& ticks, std::string_view title) const {
  const double bottom = m_frame.top + m_frame.height;
  for (const Tick& tick : ticks) {
    const std::string x = pixels(place({tick.at, m_y.from}).x);
    m_out.leaf("line", {{"class", "grid"}, {"x1", x}, {"x2", x}, {"y1", pixels(m_frame.top)}, {"y2", pixels(bottom)}});
    if (tick.label.empty()) continue;
    m_out.element("text", {{"class", "tick middle"}, {"x", x}, {"y", pixels(bottom + 4 * tick_length)}}, tick.label);
    if (tick.below.empty()) continue;
    m_out.element("text", {{"class", "tick middle"}, {"x", x}, {"y", pixels(bottom + 7.5 * tick_length)}}, tick.below);
  }
  if (title.empty()) return;
  m_out.element("text",
                {{"class", "axis middle"}, {"x", pixels(m_frame.left + m_frame.width / 2)}, {"y", pixels(bottom + 36)}},
                title);
}

void Plot::y_axis(const std::vector<Tick>& ticks, std::string_view title) const {
  for (const Tick& tick : ticks) {
    const double y = place({m_x.from, tick.at}).y;
    m_out.leaf("line", {{"class", "grid"},
                        {"x1", pixels(m_frame.left)},
                        {"x2", pixels(m_frame.left + m_frame.width)},
                        {"y1", pixels(y)},
                        {"y2", pixels(y)}});
    m_out.element(
        "text",
        {{"class", "tick end"}, {"x", pixels(m_frame.left - 1.5 * tick_length)}, {"y", pixels(y + tick_length)}},
        tick.label);
  }
  if (title.empty()) return;
  const std::string x = pixels(m_frame.left - 42);
  const std::string y = pixels(m_frame.top + m_frame.height / 2);
  m_out.element(
      "text", {{"class", "axis middle"}, {"x", x}, {"y", y}, {"transform", "rotate(-90 " + x + " " + y + ")"}}, title);
}

void Plot::line(std::span<const Point> points, std::string_view style) const {
  if (points.empty()) return;
  m_out.leaf("path", {{"class", "line " + std::string(style)}, {"d", path(points)}});
}

void Plot::band(std::span<const Point> low, std::span<const Point> high, std::string_view style) const {
  std::vector<Point> around(high.begin(), high.end());
  around.insert(around.end(), low.rbegin(), low.rend());
  if (!around.empty()) m_out.leaf("path", {{"class", std::string(style)}, {"d", path(around) + "Z"}});
}

void Plot::bar(Range x, double height, std::string_view style, const std::string& tooltip) const {
  const Point top = place({x.from, height});
  titled("rect",
         {{"class", std::string(style)},
          {"x", pixels(top.x)},
          {"y", pixels(top.y)},
          {"width", pixels(place({x.to, height}).x - top.x)},
          {"height", pixels(m_frame.top + m_frame.height - top.y)}},
         tooltip);
}

void Plot::marker(Point at, double radius, std::string_view style, const std::string& tooltip) const {
  const Point centre = place(at);
  titled("circle",
         {{"class", std::string(style)}, {"cx", pixels(centre.x)}, {"cy", pixels(centre.y)}, {"r", pixels(radius)}},
         tooltip);
}

void Plot::horizontal(double y, std::string_view style) const {
  line(std::array{Point{m_x.from, y}, Point{m_x.to, y}}, style);
}

void Plot::vertical(double x, std::string_view style, const std::string& tooltip) const {
  titled("path",
         {{"class", "line " + std::string(style)}, {"d", path(std::array{Point{x, m_y.from}, Point{x, m_y.to}})}},
         tooltip);
}

void Plot::label(Point at, Point moved, std::string_view style, std::string_view text) const {
  const Point start = place(at);
  m_out.element("text",
                {{"class", std::string(style)}, {"x", pixels(start.x + moved.x)}, {"y", pixels(start.y + moved.y)}},
                text);
}

}  // namespace umbra::cmd
