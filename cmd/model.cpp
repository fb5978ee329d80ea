// SPDX-License-Identifier: Apache-2.0
// umbra model: train a forecast model, try it on the past, show what it is.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "adapters/metrics/trace.hpp"
#include "adapters/xgb/grower.hpp"
#include "adapters/xgb/model_file.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/forecasters.hpp"
#include "cmd/output/backtest_page.hpp"
#include "cmd/output/predictions.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "predict/backtest.hpp"
#include "predict/training.hpp"

namespace umbra::cmd {
namespace {

struct ModelOptions {
  std::vector<std::string> traces;
  std::string out;
  std::string name = "site";
  std::string note;
  std::optional<double> seed;
  std::string resource = "cpu";
  std::optional<base::Seconds> within;
  std::optional<double> threshold;
  std::optional<base::Seconds> step;
  std::string predictions;
  std::string html;
  std::string model;
};

metrics::Trace read_told(const std::string& path) {
  metrics::Trace trace = metrics::read_trace(path);
  for (const std::string& note : trace.notes) base::log(base::Level::info, note);
  return trace;
}

int run_train(Session& session, const ModelOptions& options) {
  if (options.traces.empty() || options.out.empty()) {
    throw base::Error(base::Kind::usage, "model train needs --trace and --out",
                      "umbra model train --trace week.csv --out site.model");
  }
  std::vector<predict::TrainingSet> sets;
  model::Json traces = model::Json::array();
  for (const std::string& path : options.traces) {
    metrics::Trace trace = read_told(path);
    traces.push_back({{"trace", std::filesystem::path(path).filename().string()},
                      {"vms", trace.series.size()},
                      {"rows", trace.counts.used}});
    sets.push_back({std::filesystem::path(path).stem().string(), std::move(trace.series)});
  }
  predict::Recipe recipe;
  recipe.name = options.name;
  recipe.seed = static_cast<std::uint64_t>(options.seed.value_or(1));
  model::ForecastModel trained = predict::train(sets, xgb::Grower(), recipe, [&](const std::string& text) {
    session.cancel().check();
    base::log(base::Level::info, text);
  });
  trained.layers.back().training = {{"traces", traces}, {"seed", recipe.seed}, {"note", options.note}};
  if (session.common().dry_run) return exit_done;
  xgb::write_model_file(options.out, trained);
  base::log(base::Level::info, fmt::format("model: {} written to {}", trained.name(), options.out));
  return exit_done;
}

/// The figures of one forecaster as one line.
model::Json scores_json(const predict::Scores& s) {
  const auto maybe = [](const std::optional<double>& value) { return value ? model::Json(*value) : model::Json(); };
  const auto probabilities = [&](const predict::ProbabilityScores& p) {
    return model::Json{{"forecasts", p.forecasts},
                       {"saturations", p.saturations},
                       {"brier", p.brier},
                       {"brier_skill", maybe(p.brier_skill)},
                       {"average_precision", maybe(p.average_precision)},
                       {"recall_at_precision_50", maybe(p.recall_at_precision_50)},
                       {"recall_at_precision_80", maybe(p.recall_at_precision_80)},
                       {"calibration_error", p.calibration_error},
                       {"calibration_error_active", maybe(p.calibration_error_active)}};
  };
  return {
      {"all", probabilities(s.all)},
      {"onsets", probabilities(s.onsets)},
      {"peak",
       {{"pinball", s.peak.pinball},
        {"pinball_ratio", s.peak.pinball_ratio},
        {"coverage", s.peak.coverage},
        {"width", s.peak.width}}},
      {"lead", {{"events", s.lead.events}, {"warned", s.lead.warned}, {"median_lead_s", maybe(s.lead.median_lead_s)}}}};
}

/// `kept` gets what a page shows of each forecaster, where one is wanted.
void report(Session& session, const std::string& model, const predict::Backtest& result, double window_s,
            std::vector<Contender>* kept) {
  Listing listing(session.out(), {"FORECASTER", "BRIER SKILL", "AVG PRECISION", "RECALL@P.8", "ONSET AP", "ONSET R@P.5",
                                  "PINBALL", "COVERAGE", "CAL. ERROR", "LEAD"});
  const auto add = [&](const std::string& name, std::span<const predict::Verified> forecasts) {
    const predict::Scores s = predict::score(forecasts, window_s);
    if (kept) kept->push_back(contender_of(name, forecasts, s));
    listing.add({{"forecaster", name}, {"scores", scores_json(s)}},
                {name, figure(s.all.brier_skill), figure(s.all.average_precision), figure(s.all.recall_at_precision_80),
                 figure(s.onsets.average_precision), figure(s.onsets.recall_at_precision_50),
                 figure(s.peak.pinball_ratio), figure(s.peak.coverage), figure(s.all.calibration_error),
                 s.lead.median_lead_s ? base::to_human(base::Seconds(*s.lead.median_lead_s)) : "-"});
  };
  add(model, result.verified);
  add("persistence", predict::baseline(result.verified, result.figures.persistence));
  add("seasonal naive", predict::baseline(result.verified, result.figures.seasonal));
  add("holt", predict::baseline(result.verified, result.figures.holt));
  add("base rate", predict::baseline(result.verified, std::vector<double>(result.verified.size(), 0.0)));
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
  base::write_file_atomic(options.html, to_html(page));
  base::log(base::Level::info, fmt::format("model: back-test written to {}", options.html));
}

/// A walk takes minutes: where its page has nowhere to go, that is said before it.
void check_folder_of(const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (folder.empty() || std::filesystem::is_directory(folder)) return;
  throw base::Error(base::Kind::usage, fmt::format("--html {}: there is no folder {}", file, folder.string()),
                    fmt::format("mkdir -p {}", base::shell_word(folder.string())));
}

int run_backtest(Session& session, const ModelOptions& options) {
  if (options.traces.size() != 1) {
    throw base::Error(base::Kind::usage, "model backtest needs one --trace",
                      "umbra model backtest --trace week.csv --resource cpu --within 30m --threshold 0.9");
  }
  check_folder_of(options.html);
  const metrics::Trace trace = read_told(options.traces.front());
  predict::BacktestPlan plan;
  plan.resource = *model::resource_from_string(options.resource);
  plan.ask = {options.threshold.value_or(0.9), options.within.value_or(base::Seconds(1800)).count()};
  plan.apart_s = options.step.value_or(base::Seconds(0)).count();

  const auto forecaster = forecaster_of(options.model);
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
                                  predict::least_history, options.resource));
  }
  if (result.verified.empty()) {
    throw base::Error(base::Kind::invalid, "no window of this trace was seen to its end, so nothing can be scored",
                      "a longer trace, or a shorter --within");
  }
  const bool wants_page = !options.html.empty() && !session.common().dry_run;
  std::vector<Contender> contenders;
  report(session, forecaster->name(), result, plan.ask.window_s, wants_page ? &contenders : nullptr);
  if (wants_page) write_page(options, trace.series, plan, result, std::move(contenders));
  return exit_done;
}

int run_show(Session& session, const ModelOptions& options) {
  const model::ForecastModel model = saved_model(options.model);
  model::Json json = model::to_json(model);
  json["name"] = model.name();
  if (session.out().json()) {
    session.out().json_line(json);
  } else {
    session.out().text(json.dump(2) + "\n");
  }
  return exit_done;
}

int run_model(Session& session, const ModelOptions& options) {
  const std::vector<std::string>& words = session.common().operands;
  if (words == std::vector<std::string>{"train"}) return run_train(session, options);
  if (words == std::vector<std::string>{"backtest"}) return run_backtest(session, options);
  if (words == std::vector<std::string>{"show"}) return run_show(session, options);
  throw base::Error(base::Kind::usage, "model takes one of: train, backtest, show", "umbra model --help");
}

}  // namespace

Verb model_verb() {
  auto options = std::make_shared<ModelOptions>();
  Verb verb;
  verb.name = "model";
  verb.summary = "Train, try and show the model that forecasts";
  verb.text =
      "`train` makes a model from recorded traces; the same traces and seed give the same file. `backtest` walks "
      "forward "
      "through a\n"
      "trace, uses at each row nothing later than that row, and scores what it said beside persistence (the last "
      "value), "
      "the\n"
      "same time a day before, Holt's trend and the base rate. `show` tells where a model comes from.";
  verb.operands = Operands::words;
  verb.actions = {"train", "backtest", "show"};
  verb.changes = true;
  verb.options = {
      {"--trace",
       "FILE|DIR",
       "recorded use to learn from or to walk through; may be given again",
       "",
       [options](const std::string& text) { options->traces.push_back(text); },
       {},
       true},
      {"--out", "FILE", "train: where the model goes", "", set_text(options->out)},
      {"--name", "NAME", "train: what forecasts call the model", "site", set_text(options->name)},
      {"--note", "TEXT", "train: where the traces come from, kept with the model", "", set_text(options->note)},
      {"--seed", "N", "train: of the draws", "1", set_number("--seed", options->seed, 0, 4294967295.0)},
      {"--resource", "RESOURCE", "backtest: cpu, memory, gpu, gpu_memory, net or disk", "cpu",
       set_choice("--resource", options->resource, {"cpu", "memory", "gpu", "gpu_memory", "net", "disk"})},
      {"-w,--within", "DURATION", "backtest: the window ahead, 1m to 6h", "30m",
       set_duration("--within", options->within)},
      {"--threshold", "FRACTION", "backtest: what counts as saturated", "0.9",
       set_number("--threshold", options->threshold, 0, 10)},
      {"--step", "DURATION", "backtest: origins of a VM lie at least that far apart", "every row",
       set_duration("--step", options->step)},
      {"--predictions", "FILE", "backtest: every forecast, as JSON lines", "", set_text(options->predictions)},
      {"--html", "FILE", "backtest: scores, curves and a few stretches as one page", "", set_text(options->html)},
      {"--model", "FILE", "backtest, show: that model", "the one in use", set_text(options->model)},
  };
  verb.examples = {
      "umbra model backtest --trace week.csv --resource cpu --within 30m --threshold 0.9 -o table",
      "umbra model backtest --trace week.csv --html week.html",
      "umbra model train --trace week.csv --out site.model",
      "umbra model show",
  };
  verb.run = [options](Session& session) { return run_model(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
