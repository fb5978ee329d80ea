// SPDX-License-Identifier: Apache-2.0
// umbra model backtest: what a model would have said along a recording, and what that was worth.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "adapters/metrics/trace.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/forecasters.hpp"
#include "cmd/model.hpp"
#include "cmd/output/backtest_page.hpp"
#include "cmd/output/predictions.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "predict/backtest.hpp"
#include "predict/training.hpp"

namespace umbra::cmd {
namespace {

/// The figures of one forecaster as one line.
model::Json scores_json(const predict::Scores& s) {
  const std::optional<double>& lead = s.lead.median_lead_s;
  model::Json json = predict::summary_of(s);
  json["lead"] = {{"events", s.lead.events},
                  {"warned", s.lead.warned},
                  {"median_lead_s", lead ? model::Json(*lead) : model::Json()}};
  return json;
}

model::Json times_json(const predict::TimeScores& s) {
  if (s.saturations == 0) return {{"saturations", 0}};
  return {{"saturations", s.saturations},
          {"pinball_s", s.pinball_s},
          {"pinball_ratio", s.pinball_ratio ? model::Json(*s.pinball_ratio) : model::Json()},
          {"coverage", s.coverage},
          {"median_error_s", s.median_error_s}};
}

/// A forecaster's scores, of its times too.
struct Scored {
  predict::Scores scores;
  predict::Times times;
  model::Json json() const {
    model::Json json = scores_json(scores);
    json["time"] = {{"all", times_json(times.all)}, {"onsets", times_json(times.onsets)}};
    return json;
  }
};

/// `kept` gets what a page shows of each forecaster, where one is wanted.
void report(Session& session, const std::string& model, const predict::Backtest& result, double window_s,
            std::vector<Contender>* kept) {
  Listing listing(session.out(),
                  {"FORECASTER", "BRIER SKILL", "AVG PRECISION", "RECALL@P.8", "ONSET AP", "ONSET R@P.5", "PINBALL",
                   "COVERAGE", "CAL. ERROR", "LEAD", "TIME PINBALL", "TIME COVERAGE", "TIME ERROR"});
  const std::vector<model::Quantiles> plain = predict::plain_times(result.verified, window_s);
  const auto add = [&](const std::string& name, std::span<const predict::Verified> forecasts) {
    const Scored scored{predict::score(forecasts, window_s), predict::time_scores(forecasts, plain)};
    const predict::Scores& s = scored.scores;
    const predict::TimeScores& time = scored.times.onsets;
    if (kept) kept->push_back(contender_of(name, forecasts, s, scored.times));
    listing.add({{"forecaster", name}, {"scores", scored.json()}},
                {name, figure(s.all.brier_skill), figure(s.all.average_precision), figure(s.all.recall_at_precision_80),
                 figure(s.onsets.average_precision), figure(s.onsets.recall_at_precision_50),
                 figure(s.peak.pinball_ratio), figure(s.peak.coverage), figure(s.all.calibration_error),
                 s.lead.median_lead_s ? base::to_human(base::Seconds(*s.lead.median_lead_s)) : "-",
                 figure(time.pinball_ratio), time.saturations > 0 ? figure(time.coverage) : "-",
                 time.saturations > 0 ? base::to_human(base::Seconds(time.median_error_s)) : "-"});
  };
  /// Of times the simple ones know no more than what they were before.
  const auto add_simple = [&](const std::string& name, const std::vector<double>& figures) {
    std::vector<predict::Verified> forecasts = predict::baseline(result.verified, figures);
    for (std::size_t i = 0; i < forecasts.size(); ++i) forecasts[i].first_s = plain[i];
    add(name, forecasts);
  };
  add(model, result.verified);
  add_simple("persistence", result.figures.persistence);
  add_simple("seasonal naive", result.figures.seasonal);
  add_simple("holt", result.figures.holt);
  add_simple("base rate", std::vector<double>(result.verified.size(), 0.0));
  listing.finish();
}

void write_page(const ModelOptions& options, const std::vector<model::Series>& series,
                const predict::BacktestPlan& plan, const predict::Backtest& result, std::vector<Contender> contenders) {
  constexpr std::size_t most_episodes = 6;
  BacktestPage page;
  page.trace = std::filesystem::path(options.traces.front()).filename().string();
  page.resource = plan.resource;
  page.ask = plan.ask;
  page.vms = series.size();
  page.origins = result.origins;
  const auto [first, last] = std::ranges::minmax_element(result.verified, {}, &predict::Verified::time);
  page.from = first->time;
  page.to = last->time;
  page.alarm_level = alarm_level_of(contenders.front().scores);
  page.contenders = std::move(contenders);
  page.episodes = predict::episodes(series, plan, result.verified, page.alarm_level, most_episodes);
  base::write_output(options.html, to_html(page));
  base::log(base::Level::info, fmt::format("model: back-test written to {}", options.html));
}

}  // namespace

int run_backtest(Session& session, const ModelOptions& options) {
  if (options.traces.size() != 1) {
    throw base::Error(base::Kind::usage, "model backtest needs one --trace",
                      "umbra model backtest --trace week.csv --resource cpu --within 30m --threshold 0.9");
  }
  check_window(options.within);
  check_output("--html", options.html);
  check_output("--predictions", options.predictions);
  const metrics::Trace trace = read_told(options.traces.front());
  predict::BacktestPlan plan;
  plan.resource = *model::resource_from_string(options.resource);
  plan.ask = {options.threshold.value_or(0.9), options.within.value_or(base::Seconds(1800)).count()};
  plan.apart_s = options.step.value_or(base::Seconds(0)).count();

  const ChosenModel chosen = choose_model(options.model, Fallback::none);
  const auto forecaster =
      options.no_learning ? forecaster_of(chosen) : learning_forecaster_of(session, chosen, trace.series);
  std::optional<PredictionsFile> predictions;
  if (!options.predictions.empty()) predictions.emplace(options.predictions);
  const predict::Backtest result =
      predict::backtest(trace.series, plan, *forecaster, [&](const predict::TraceForecast& forecast) {
        session.cancel().check();
        if (predictions) predictions->add(plan, forecast);
      });
  if (predictions) predictions->commit();
  if (result.origins == 0) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("{} holds no VM with more than {} readings of {}", options.traces.front(),
                                  model::least_history, options.resource),
                      "a longer trace, or another --resource");
  }
  if (result.verified.empty()) {
    throw base::Error(base::Kind::invalid, "no window of this trace was seen to its end, so nothing can be scored",
                      "a longer trace, or a --within that holds one step of it or more and ends before it does");
  }
  const bool wants_page = !options.html.empty() && !session.common().dry_run;
  std::vector<Contender> contenders;
  report(session, forecaster->name(), result, plan.ask.window_s, wants_page ? &contenders : nullptr);
  if (wants_page) write_page(options, trace.series, plan, result, std::move(contenders));
  return exit_done;
}

}  // namespace umbra::cmd
