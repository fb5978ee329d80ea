// SPDX-License-Identifier: Apache-2.0
// umbra model: train a forecast model, try it on the past, show what it is.
#include "cmd/model.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/forecasters.hpp"
#include "cmd/output/model_text.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

int run_show(Session& session, const ModelOptions& options) {
  const model::ForecastModel model = options.model.empty() ? model_in_use(session) : saved_model(options.model);
  if (session.out().json()) {
    model::Json json = model::to_json(model);
    json["name"] = model.name();
    session.out().json_line(json);
  } else {
    session.out().text(model_text(model, session.out().colour()));
  }
  return exit_done;
}

int run_list(Session& session) {
  Listing listing(session.out(), {"ID", "MADE", "NAME", "IN USE", "TRIAL"});
  for (const ports::SiteModel& one : session.models().all()) {
    const std::string made = base::to_rfc3339(one.made);
    listing.add({{"id", one.id}, {"made_at", made}, {"name", one.name}, {"in_use", one.in_use}, {"trial", one.trial}},
                {std::to_string(one.id), made, one.name, one.in_use ? "yes" : "no", one.trial});
  }
  listing.finish();
  return exit_done;
}

int run_back(Session& session) {
  const std::optional<ports::SiteModel> before = session.models().step_back();
  base::log(base::Level::info,
            before ? fmt::format("model: {} of {} is in use again", before->name, base::to_rfc3339(before->made))
                   : "model: the one that ships is in use again");
  return exit_done;
}

int run_model(Session& session, const ModelOptions& options) {
  const std::vector<std::string>& words = session.common().operands;
  if (words == std::vector<std::string>{"train"}) return run_train(session, options);
  if (words == std::vector<std::string>{"backtest"}) return run_backtest(session, options);
  if (words == std::vector<std::string>{"show"}) return run_show(session, options);
  if (words == std::vector<std::string>{"list"}) return run_list(session);
  if (words == std::vector<std::string>{"back"}) return run_back(session);
  throw base::Error(base::Kind::usage, "model takes one of: train, backtest, show, list, back", "umbra model --help");
}

}  // namespace

Verb model_verb() {
  auto options = std::make_shared<ModelOptions>();
  Verb verb;
  verb.name = "model";
  verb.summary = "Train, try and show the model that forecasts";
  verb.text =
      "`train` sharpens the model that ships by a site's own past, from `--history` or from traces, and tries the "
      "result on the latest quarter of it: only what did better is kept, and with `--history` put in use. Run it from "
      "a timer. `back` takes the last one back, `list` shows those kept. The same readings and seed give the same "
      "file. `backtest` walks forward through a trace, uses at each row nothing later than that row, learns along the "
      "way, and scores what it said beside persistence (the last value), the same time a day before, Holt's trend and "
      "the base rate; of the time to saturation, where that came after a quiet window, the pinball loss beside the "
      "quantiles of such times until then, how many lie within p10 to p90, and the median error of p50. `show` tells "
      "where a model comes from and what it was worth on data that it did not see.";
  verb.operands = Operands::words;
  verb.actions = {"train", "backtest", "show", "list", "back"};
  verb.changes = true;
  verb.options = {
      {"--trace",
       "FILE|DIR",
       "recorded use to learn from or to walk through; may be given again",
       "",
       [options](const std::string& text) { options->traces.push_back(text); },
       {},
       true},
      {"--history", "", "train: by what `umbra observe` keeps; put in use if better", "", set_flag(options->history)},
      {"--out", "FILE", "train: where the model goes", "", set_text(options->out)},
      {"--from-scratch", "", "train: on no other model, as the one that ships was", "",
       set_flag(options->from_scratch)},
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
      {"--no-learning", "", "backtest: with the model as it is, all along", "", set_flag(options->no_learning)},
      {"--model", "FILE", "that model", "show: the one in use; else the one that ships", set_text(options->model)},
  };
  verb.examples = {
      "umbra model backtest --trace week.csv --resource cpu --within 30m --threshold 0.9 -o table",
      "umbra model backtest --trace week.csv --html week.html",
      "umbra model train --trace week.csv --out site.model",
      "umbra model train --history",
      "umbra model show",
  };
  verb.run = [options](Session& session) { return run_model(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
