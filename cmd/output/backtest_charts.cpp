// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/backtest_charts.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "cmd/output/plot.hpp"
#include "cmd/output/table.hpp"

namespace umbra::cmd {
namespace {

constexpr Range zero_to_one{0, 1};
constexpr double bins = 10;

/// Styles of the contenders in their order; beyond them from the start again.
std::string contender_style(std::size_t i) {
  constexpr std::size_t styles = 5;
  return fmt::format("series-{}", i % styles);
}

std::string_view name_of(Windows windows) {
  return windows == Windows::all ? "windows" : "windows after a quiet one";
}

void sentence(Markup& out, const std::string& text) {
  out.element("p", {{"class", "nothing"}}, text);
}

/// The bin that a mean lies in, though rounding may have put it a hair below.
double bin_of(const predict::ReliabilityBin& bin) {
  return std::min(bins - 1, std::floor(bin.forecast * bins + 1e-9));
}

std::string bin_text(const predict::ReliabilityBin& bin) {
  return fmt::format("{} forecasts of {:.1f} to {:.1f}: said {:.3f} in the mean, {:.3f} came true", grouped(bin.count),
                     bin_of(bin) / bins, (bin_of(bin) + 1) / bins, bin.forecast, bin.observed);
}

void draw_reliability(Markup& out, const std::vector<predict::ReliabilityBin>& all, double log_most) {
  const Plot plot(out, {60, 10, 440, 300}, zero_to_one, zero_to_one);
  std::vector<Tick> unlabelled = number_ticks(zero_to_one, 5);
  for (Tick& tick : unlabelled) tick.label.clear();
  plot.outline();
  plot.x_axis(unlabelled, "");
  plot.y_axis(number_ticks(zero_to_one, 5), "share that saturated");
  plot.line(std::vector<Point>{{0, 0}, {1, 1}}, "diagonal");
  plot.label({0.68, 0.68}, {-8, -6}, "tick end", "as often as said");
  std::vector<Point> points;
  for (const auto& bin : all) points.push_back({bin.forecast, bin.observed});
  plot.line(points, contender_style(0));
  for (const auto& bin : all) {
    const double size = 3 + 4 * std::log10(static_cast<double>(bin.count) + 1) / log_most;
    plot.marker({bin.forecast, bin.observed}, size, "dot " + contender_style(0), bin_text(bin));
  }
}

/// Counts go over several powers of ten, so the bars are as high as the count has digits.
void draw_counts(Markup& out, const std::vector<predict::ReliabilityBin>& all, double log_most) {
  const Plot plot(out, {60, 330, 440, 70}, zero_to_one, {0, log_most * 1.35});
  plot.outline();
  plot.x_axis(number_ticks(zero_to_one, 5), "forecast probability of saturation");
  plot.y_axis({}, "forecasts (log)");
  for (const auto& bin : all) {
    const double height = std::log10(static_cast<double>(bin.count) + 1);
    const double left = bin_of(bin) / bins;
    plot.bar({left + 0.008, left + 1 / bins - 0.008}, height, "count", bin_text(bin));
    plot.label({left + 0.5 / bins, height}, {0, -4}, "tick middle", grouped(bin.count));
  }
}

/// From one alarm level to the next the precision of the next holds, as in the average precision.
std::vector<Point> steps_of(const std::vector<predict::PrecisionRecall>& curve) {
  std::vector<Point> points;
  double recall = 0;
  for (const predict::PrecisionRecall& at : curve) {
    points.push_back({recall, at.precision});
    points.push_back({at.recall, at.precision});
    recall = at.recall;
  }
  return points;
}

void draw_precision_recall(Markup& out, std::span<const Contender> contenders, Windows windows) {
  const Plot plot(out, {60, 10, 440, 330}, zero_to_one, zero_to_one);
  plot.outline();
  plot.x_axis(number_ticks(zero_to_one, 5), "recall: saturations that an alarm tells");
  plot.y_axis(number_ticks(zero_to_one, 5), "precision: alarms that come true");
  for (std::size_t i = contenders.size(); i-- > 0;) {  // the model over the others
    plot.line(steps_of(curves_of(contenders[i], windows).precision_recall), contender_style(i));
  }
}

void draw_legend(Markup& out, std::span<const Contender> contenders, Windows windows) {
  out.in("ul", {{"class", "legend"}}, [&] {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      out.in("li", {}, [&] {
        out.in("svg", {{"class", "swatch"}, {"viewBox", "0 0 28 10"}, {"aria-hidden", "true"}}, [&] {
          out.leaf("path", {{"class", "line " + contender_style(i)}, {"d", "M1 5L27 5"}});
        });
        out.text(fmt::format("{} {}", contenders[i].name, figure(scores_of(contenders[i], windows).average_precision)));
      });
    }
  });
}

/// Along 0 to 1: the shares below p10, to p50, to p90 and above.
void draw_shares(const Plot& plot, const predict::PeakShares& shares, Range rows) {
  const std::array<double, 5> ends{0, shares.below_p10, shares.below_p50, 1 - shares.above_p90, 1};
  constexpr std::array<std::string_view, 4> styles{"below-p10", "below-p50", "above-p50", "above-p90"};
  for (std::size_t i = 0; i < styles.size(); ++i) {
    plot.band(std::array{Point{ends[i], rows.from}, Point{ends[i + 1], rows.from}},
              std::array{Point{ends[i], rows.to}, Point{ends[i + 1], rows.to}}, styles[i]);
  }
}

}  // namespace

const Curves& curves_of(const Contender& contender, Windows windows) {
  return windows == Windows::all ? contender.all : contender.onsets;
}

const predict::ProbabilityScores& scores_of(const Contender& contender, Windows windows) {
  return windows == Windows::all ? contender.scores.all : contender.scores.onsets;
}

std::string grouped(std::size_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, "\u00a0");
  }
  return text;
}

void reliability_chart(Markup& out, const Contender& model, Windows windows) {
  const auto& bins_filled = curves_of(model, windows).reliability;
  if (bins_filled.empty()) {
    return sentence(out, "No window after a quiet one was seen, so there is nothing to hold the forecasts against.");
  }
  const auto most = std::ranges::max_element(bins_filled, {}, &predict::ReliabilityBin::count)->count;
  const double log_most = std::log10(static_cast<double>(most) + 1);
  const std::string label = fmt::format("Reliability of {} over {}", model.name, name_of(windows));
  out.in("svg", {{"viewBox", "0 0 510 442"}, {"role", "img"}, {"aria-label", label}}, [&] {
    draw_reliability(out, bins_filled, log_most);
    draw_counts(out, bins_filled, log_most);
  });
  const auto& scores = scores_of(model, windows);
  out.element(
      "p", {{"class", "note"}},
      fmt::format("Calibration error {:.3f} over all {} forecasts, {} over those of at least 0.05.",
                  scores.calibration_error, grouped(scores.forecasts), figure(scores.calibration_error_active)));
}

void precision_recall_chart(Markup& out, std::span<const Contender> contenders, Windows windows) {
  const auto& scores = scores_of(contenders.front(), windows);
  if (scores.forecasts == 0) {
    return sentence(out, "No window after a quiet one was seen, so there are no alarms to judge.");
  }
  const std::string count = fmt::format("{} {}", grouped(scores.forecasts), name_of(windows));
  if (scores.saturations == 0) {
    return sentence(out, fmt::format("None of the {} saturated, so no alarm could come true.", count));
  }
  if (scores.saturations == scores.forecasts) {
    return sentence(out, fmt::format("All of the {} saturated, so every alarm came true.", count));
  }
  const std::string label = fmt::format("Precision and recall over {}", name_of(windows));
  out.in("svg", {{"viewBox", "0 0 510 382"}, {"role", "img"}, {"aria-label", label}},
         [&] { draw_precision_recall(out, contenders, windows); });
  draw_legend(out, contenders, windows);
}

void peak_chart(Markup& out, std::span<const Contender> contenders) {
  constexpr double row = 26;  // pixels
  const double rows = static_cast<double>(contenders.size());
  const std::string box = fmt::format("0 0 1084 {}", pixels(rows * row + 60));
  out.in("svg", {{"viewBox", box}, {"role", "img"}, {"aria-label", "Peaks beside their quantiles"}}, [&] {
    const Plot plot(out, {150, 10, 900, rows * row}, zero_to_one, {0, rows});
    std::vector<Tick> names;
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      names.push_back({rows - static_cast<double>(i) - 0.5, contenders[i].name});
    }
    plot.outline();
    plot.x_axis(number_ticks(zero_to_one, 10), "share of peaks: below p10, up to p50, up to p90, above p90");
    plot.y_axis(names, "");
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      draw_shares(plot, contenders[i].peaks, {names[i].at - 0.35, names[i].at + 0.35});
    }
    for (const double right : model::learned_quantiles) {
      plot.vertical(right, "right", fmt::format("here p{:.0f} is right", 100 * right));
    }
  });
}

}  // namespace umbra::cmd
