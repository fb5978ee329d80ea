// SPDX-License-Identifier: Apache-2.0
#pragma once
// One plot of an SVG picture: a frame with two axes, and what is drawn into it in their units. Colours and widths are
// the style sheet's, by class.

#include <span>
#include <string>
#include <vector>

#include "cmd/output/markup.hpp"

namespace umbra::cmd {

struct Point {
  double x = 0;
  double y = 0;
};

/// Of an axis, in its own units.
struct Range {
  double from = 0;
  double to = 1;
};

/// In pixels of the picture.
struct Frame {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
};

struct Tick {
  double at = 0;
  std::string label;
  std::string below = {};  ///< a second line: the day of a time
};

/// Round figures within the range, `about` of them.
std::vector<Tick> number_ticks(Range range, std::size_t about);
/// Whole minutes, hours or days of UTC within the range of Unix seconds, at most `most`; the day stands below the
/// first and wherever it is another.
std::vector<Tick> time_ticks(Range range, std::size_t most);

class Plot {
 public:
  Plot(Markup& out, Frame frame, Range x, Range y) : m_out(out), m_frame(frame), m_x(x), m_y(y) {}

  /// The frame itself; a plot that only lays something over others has none.
  void outline() const;
  void x_axis(const std::vector<Tick>& ticks, std::string_view title) const;
  void y_axis(const std::vector<Tick>& ticks, std::string_view title) const;

  void line(std::span<const Point> points, std::string_view style) const;
  /// The area between two lines over the same x.
  void band(std::span<const Point> low, std::span<const Point> high, std::string_view style) const;
  /// From the bottom of the frame up to `height`.
  void bar(Range x, double height, std::string_view style, const std::string& tooltip) const;
  void marker(Point at, double radius, std::string_view style, const std::string& tooltip) const;
  void horizontal(double y, std::string_view style) const;
  void vertical(double x, std::string_view style, const std::string& tooltip) const;
  /// Text that starts at a point of the plot, moved by pixels.
  void label(Point at, Point moved, std::string_view style, std::string_view text) const;

 private:
  Point place(Point p) const;
  std::string path(std::span<const Point> points) const;
  void titled(std::string_view name, Markup::Attributes attributes, const std::string& tooltip) const;
  Markup& m_out;
  Frame m_frame;
  Range m_x;
  Range m_y;
};

}  // namespace umbra::cmd
