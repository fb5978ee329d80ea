// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/backtest_page.hpp"

#include <fmt/core.h>

#include "base/clock.hpp"
#include "cmd/output/backtest_charts.hpp"
#include "cmd/output/episode_chart.hpp"
#include "cmd/output/page_style.hpp"
#include "cmd/output/score_tables.hpp"
#include "cmd/output/table.hpp"

namespace umbra::cmd {
namespace {

constexpr std::size_t most_points = 250;  // of a curve: about two pixels each

Curves to_curves(std::span<const predict::Verified> forecasts) {
  return {predict::thinned(predict::precision_recall(forecasts), most_points), predict::reliability(forecasts)};
}

std::string within(const BacktestPage& page) {
  return base::to_human(base::Seconds(page.ask.window_s));
}

std::string question(const BacktestPage& page) {
  return fmt::format("{} reaches {:g} within {}", model::to_string(page.resource), page.ask.threshold, within(page));
}

/// The answer in two sentences, for whoever reads no further.
std::string summary(const BacktestPage& page) {
  const predict::Scores& scores = page.contenders.front().scores;
  if (scores.all.saturations == 0) return "No window saturated, so this trace shows false alarms alone.";
  std::string text = fmt::format(
      "Average precision is {} over all windows, where chance gives {:.3f}, and {} over windows after a quiet one.",
      figure(scores.all.average_precision),
      static_cast<double>(scores.all.saturations) / static_cast<double>(scores.all.forecasts),
      figure(scores.onsets.average_precision));
  if (scores.lead.events == 0) return text + " No onset came after a quiet window.";
  if (!scores.onsets.alarm_50) return text + " At no level did half of the alarms about onsets come true.";
  text += fmt::format(" At the level where half of the alarms come true, {} of {} onsets had a warning",
                      grouped(scores.lead.warned), grouped(scores.lead.events));
  if (!scores.lead.median_lead_s) return text + ".";
  return text + fmt::format(", {} ahead at the median.", base::to_human(base::Seconds(*scores.lead.median_lead_s)));
}

void head(Markup& out, const BacktestPage& page) {
  const Contender& model = page.contenders.front();
  const predict::Scores& scores = model.scores;
  out.element("h1", {}, fmt::format("How well {} forecasts {}", model.name, page.trace));
  out.element("p", {{"class", "lead"}}, summary(page));
  const auto fact = [&](std::string_view name, const std::string& value) {
    out.in("div", {}, [&] {
      out.element("dt", {}, name);
      out.element("dd", {}, value);
    });
  };
  out.in("dl", {{"class", "facts"}}, [&] {
    fact("Trace", page.trace);
    fact("Model", model.name);
    fact("Resource", std::string(model::to_string(page.resource)));
    fact("Saturation", fmt::format("at {:g} of capacity", page.ask.threshold));
    fact("Window ahead", within(page));
    fact("VMs", grouped(page.vms));
    fact("Forecasts", grouped(page.origins));
    fact("Windows seen to their end", grouped(scores.all.forecasts));
    fact("of these saturated", grouped(scores.all.saturations));
    fact("Onsets", grouped(scores.lead.events));
    fact("First forecast", minute_text(page.from) + " UTC");
    fact("Last forecast", minute_text(page.to) + " UTC");
  });
}

void scores_section(Markup& out, const BacktestPage& page) {
  out.element("h2", {}, "Scores");
  out.element(
      "p", {},
      "Whether " + question(page) +
          ". An onset is the first reading at the threshold after a whole window without one: an alarm about it "
          "is news. Forecasters beside the model are fitted on the very outcomes that they are scored on, which "
          "flatters them.");
  probability_table(out, page.contenders, Windows::all);
  probability_table(out, page.contenders, Windows::onsets);
  peak_table(out, page.contenders);
  time_table(out, page.contenders, Windows::all);
  time_table(out, page.contenders, Windows::onsets);
  meanings(out);
}

void pair(Markup& out, const std::function<void(Windows)>& chart) {
  out.in("div", {{"class", "pair"}}, [&] {
    for (const Windows windows : {Windows::all, Windows::onsets}) {
      out.in("figure", {}, [&] {
        out.element("figcaption", {}, windows == Windows::all ? "All windows" : "Windows after a quiet one");
        chart(windows);
      });
    }
  });
}

void curves_sections(Markup& out, const BacktestPage& page) {
  const std::span<const Contender> contenders = page.contenders;
  out.element("h2", {}, "Does what is said come true as often as said?");
  out.element(
      "p", {},
      "Forecasts in ten bins: on the diagonal saturation comes as often as it is forecast, above it more often. "
      "Larger dots stand for more forecasts; the bars below count them.");
  pair(out, [&](Windows windows) { reliability_chart(out, contenders.front(), windows); });

  out.element("h2", {}, "How many saturations are told, at how many false alarms?");
  out.element("p", {},
              "Each point of a curve is an alarm level: up and to the right is better. The figure beside a name is its "
              "average precision.");
  pair(out, [&](Windows windows) { precision_recall_chart(out, contenders, windows); });
}

void interval_section(Markup& out, const BacktestPage& page) {
  const Contender& model = page.contenders.front();
  const predict::PeakScores& peak = model.scores.peak;
  out.element("h2", {}, "Is the peak where it is forecast?");
  out.element(
      "p", {},
      fmt::format("Of the peaks {:.1f} % lie within p10 to p90, where 80 % is right; {:.1f} % lie below p10 and "
                  "{:.1f} % above p90, where 10 % each is right. {:.1f} % lie below p50, where half is right. The "
                  "interval is {:.3f} "
                  "of capacity wide in the mean. The pinball loss is {:.4f}, {:.2f} times persistence's.",
                  100 * peak.coverage, 100 * model.peaks.below_p10, 100 * model.peaks.above_p90,
                  100 * model.peaks.below_p50, peak.width, peak.pinball, peak.pinball_ratio));
  peak_chart(out, page.contenders);
}

void episodes_section(Markup& out, const BacktestPage& page) {
  out.element("h2", {}, "A few stretches");
  if (page.episodes.empty()) {
    out.element("p", {{"class", "nothing"}}, "No forecast could be verified, so there is nothing to show.");
    return;
  }
  out.element(
      "p", {},
      fmt::format("Chosen by rule, not by eye: of the VM with the most onsets warned of, onsets missed or false "
                  "alarms the middle one in time. An alarm is a forecast of at least {:.2f}. Times are UTC.",
                  page.alarm_level));
  episode_legend(out);
  for (const predict::Episode& episode : page.episodes) {
    out.in("figure", {{"class", "episode"}}, [&] {
      out.in("h3", {}, [&] {
        out.element("bdi", {}, episode.vm.get());
        out.text(fmt::format("— {}", episode_title(episode.interest)));
      });
      out.element("p", {}, episode_text(page, episode));
      episode_chart(out, page, episode);
    });
  }
}

}  // namespace

double alarm_level_of(const predict::Scores& scores) {
  return scores.onsets.alarm_50.value_or(0.5);
}

Contender contender_of(std::string name, std::span<const predict::Verified> forecasts, const predict::Scores& scores,
                       const predict::Times& times) {
  return {std::move(name),
          scores,
          to_curves(forecasts),
          to_curves(predict::after_quiet(forecasts)),
          predict::peak_shares(forecasts),
          times};
}

std::string to_html(const BacktestPage& page) {
  Markup out;
  out.verbatim("<!DOCTYPE html>\n");
  out.in("html", {{"lang", "en"}}, [&] {
    out.in("head", {}, [&] {
      out.leaf("meta", {{"charset", "utf-8"}});
      out.leaf("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
      out.element("title", {}, fmt::format("umbra back-test: {}", page.trace));
      out.in("style", {}, [&] { out.verbatim(page_style()); });
    });
    out.in("body", {}, [&] {
      out.in("main", {}, [&] {
        head(out, page);
        scores_section(out, page);
        curves_sections(out, page);
        interval_section(out, page);
        episodes_section(out, page);
      });
    });
  });
  return out.take();
}

}  // namespace umbra::cmd
