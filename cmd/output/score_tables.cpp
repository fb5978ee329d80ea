// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/score_tables.hpp"

#include <fmt/core.h>

#include <array>

#include "base/clock.hpp"
#include "cmd/output/table.hpp"

namespace umbra::cmd {
namespace {

struct Meaning {
  std::string_view title;
  std::string_view text;
};

constexpr std::array<Meaning, 12> columns{{
    {"Brier skill", "how much smaller the squared error of the probability is than persistence's; 1 is perfect"},
    {"Average precision", "area under the curve of precision and recall; chance gives the share that saturates"},
    {"Recall at 0.5, at 0.8", "saturations told by alarms of which that share comes true"},
    {"Calibration error", "mean distance of what was said from what came, in ten bins"},
    {"Active", "the same, of forecasts of at least 0.05"},
    {"Warned", "onsets with an alarm within the window before, at the level where half of such alarms come true"},
    {"Lead", "from the first alarm to the onset, the median"},
    {"Pinball", "mean error of the three quantiles of the peak, or of the time in seconds, each weighed by its side"},
    {"Ratio",
     "that error beside persistence's, or of times beside what the past ones would have said; below 1 is better"},
    {"Coverage", "peaks or times within p10 to p90; 0.8 is right, and more where few readings fit in the window"},
    {"Median error", "distance of p50 from the time that it took, the median"},
    {"Width", "mean of p90 - p10, in shares of capacity"},
}};

struct Column {
  std::string_view title;
  std::function<std::string(const Contender&)> text;
};

void table(Markup& out, std::string_view caption, const std::vector<Column>& shown,
           std::span<const Contender> contenders) {
  const auto body = [&] {
    for (const Contender& one : contenders) {
      out.in("tr", {{"class", &one == &contenders.front() ? "model" : "other"}}, [&] {
        out.element("th", {{"scope", "row"}}, one.name);
        for (const Column& column : shown) out.element("td", {}, column.text(one));
      });
    }
  };
  out.in("div", {{"class", "wide"}}, [&] {
    out.in("table", {}, [&] {
      out.element("caption", {}, caption);
      out.in("thead", {}, [&] {
        out.in("tr", {}, [&] {
          out.element("th", {{"scope", "col"}}, "Forecaster");
          for (const Column& column : shown) out.element("th", {{"scope", "col"}}, column.title);
        });
      });
      out.in("tbody", {}, body);
    });
  });
}

}  // namespace

void probability_table(Markup& out, std::span<const Contender> contenders, Windows windows) {
  const auto score = [=](auto field) {
    return [=](const Contender& c) { return figure(scores_of(c, windows).*field); };
  };
  using Scores = predict::ProbabilityScores;
  std::vector<Column> shown{{"Brier skill", score(&Scores::brier_skill)},
                            {"Average precision", score(&Scores::average_precision)},
                            {"Recall at 0.5", score(&Scores::recall_at_precision_50)},
                            {"Recall at 0.8", score(&Scores::recall_at_precision_80)},
                            {"Calibration error", score(&Scores::calibration_error)},
                            {"Active", score(&Scores::calibration_error_active)}};
  if (windows == Windows::onsets) {
    shown.push_back({"Warned", [](const Contender& c) {
                       return fmt::format("{} of {}", grouped(c.scores.lead.warned), grouped(c.scores.lead.events));
                     }});
    shown.push_back({"Lead", [](const Contender& c) {
                       const auto& lead = c.scores.lead.median_lead_s;
                       return lead ? base::to_human(base::Seconds(*lead)) : "-";
                     }});
  }
  const auto& scores = scores_of(contenders.front(), windows);
  table(out,
        fmt::format("{}: {}, of which {} saturated",
                    windows == Windows::all ? "All windows" : "Windows after a quiet one", grouped(scores.forecasts),
                    grouped(scores.saturations)),
        shown, contenders);
}

void peak_table(Markup& out, std::span<const Contender> contenders) {
  const auto score = [](auto field) { return [=](const Contender& c) { return figure(c.scores.peak.*field); }; };
  const auto side = [](auto field) { return [=](const Contender& c) { return figure(c.peaks.*field); }; };
  using Scores = predict::PeakScores;
  using Shares = predict::PeakShares;
  table(out, "Peaks of all windows",
        {{"Pinball", score(&Scores::pinball)},
         {"Ratio", score(&Scores::pinball_ratio)},
         {"Coverage", score(&Scores::coverage)},
         {"Width", score(&Scores::width)},
         {"Below p10", side(&Shares::below_p10)},
         {"Below p50", side(&Shares::below_p50)},
         {"Above p90", side(&Shares::above_p90)}},
        contenders);
}

void time_table(Markup& out, std::span<const Contender> contenders, Windows windows) {
  const auto of = [=](const Contender& c) -> const predict::TimeScores& {
    return windows == Windows::all ? c.times.all : c.times.onsets;
  };
  const auto human = [](double seconds) { return base::to_human(base::Seconds(seconds)); };
  if (of(contenders.front()).saturations == 0) return;
  table(out,
        fmt::format("Times to saturation, {}: {}", windows == Windows::all ? "all" : "after a quiet window",
                    grouped(of(contenders.front()).saturations)),
        {{"Pinball", [=](const Contender& c) { return human(of(c).pinball_s); }},
         {"Ratio", [=](const Contender& c) { return figure(of(c).pinball_ratio); }},
         {"Coverage", [=](const Contender& c) { return figure(of(c).coverage); }},
         {"Median error", [=](const Contender& c) { return human(of(c).median_error_s); }}},
        contenders);
}

void meanings(Markup& out) {
  out.in("dl", {{"class", "meanings"}}, [&] {
    for (const Meaning& column : columns) {
      out.in("div", {}, [&] {
        out.element("dt", {}, column.title);
        out.element("dd", {}, column.text);
      });
    }
  });
}

}  // namespace umbra::cmd
