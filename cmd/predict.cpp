// SPDX-License-Identifier: Apache-2.0
// umbra predict: which VM will saturate what, when, and how sure that is.
#include "predict/forecast.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <utility>

#include "adapters/metrics/trace.hpp"
#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/fleet.hpp"
#include "cmd/forecasters.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

struct PredictOptions {
  std::optional<base::Seconds> within;
  std::string model;
  bool model_fallback = false;
  std::string trace;
  std::string at;
  bool no_learning = false;
};

/// "90 %", "97 % learned": where it is not the resource's default, from where it is.
std::string threshold_cell(const model::ResourceForecast& f) {
  const std::string value = percent(f.threshold);
  if (f.threshold_source == "learned") return value + " learned";
  return f.threshold_source == "configured" ? value + " set" : value;
}

const RecordTable& predict_table() {
  static const RecordTable table{
      {"VM", "HOST", "BINDING", "NOW", "THRESHOLD", "P(SATURATION)", "IN (P50)", "PEAK (P90)", "TRIGGER"},
      [](const model::Record& record) -> std::vector<Cell> {
        const model::Vm vm = record.vm();
        const auto forecast = record.forecast();
        if (!forecast || forecast->resources.empty())
          return {vm.name.get(), vm.host.get(), "-", "-", "-", "-", "-", "-", "-"};
        // The binding resource, or else the likeliest to saturate.
        auto shown = forecast->resources.begin();
        for (auto it = shown; it != forecast->resources.end(); ++it) {
          if (it->second.p_saturation > shown->second.p_saturation) shown = it;
        }
        if (forecast->binding) shown = forecast->resources.find(*forecast->binding);
        const model::ResourceForecast& f = shown->second;
        return {vm.name.get(),
                vm.host.get(),
                std::string(model::to_string(shown->first)),
                percent(f.now),
                threshold_cell(f),
                fmt::format("{:.2f}", f.p_saturation),
                f.saturates_in_s ? base::to_human(base::Seconds(f.saturates_in_s->p50)) : "-",
                percent(f.peak.p90),
                forecast->trigger ? Cell("yes", Tone::bad) : Cell("no", Tone::good)};
      }};
  return table;
}

base::Instant instant_of(const std::string& text) {
  if (const auto time = base::parse_rfc3339(text)) return *time;
  std::optional<double> seconds;
  set_number("--at", seconds, 0, 1e12)(text);
  return base::Instant(std::chrono::round<base::Millis>(base::Seconds(*seconds)));
}

FleetQuestion question_of(Session& session, const PredictOptions& options, const model::Vm& vm, base::Instant origin,
                          const std::string& source) {
  const model::VmPolicy policy = session.config().policy(vm.name);
  return {vm, policy.saturation, {origin, options.within.value_or(policy.window), vm.priority, source}};
}

/// What a threshold is learned from; features reach back a week, and the day before the window ahead of a week ago.
constexpr base::Millis looked_back{std::chrono::hours(14 * 24)};

/// Records would name VMs of hosts; a trace has its own.
void check_trace_operands(const Common& common) {
  const bool dash = std::ranges::find(common.operands, "-") != common.operands.end();
  if (dash || common.operands.empty() != common.all) {
    throw base::Error(base::Kind::usage, "predict --trace takes names of the trace's VMs, or --all",
                      "umbra predict --trace week.csv --all");
  }
}

std::vector<std::string> names_in_trace(const Session& session, const metrics::Trace& trace) {
  std::vector<std::string> names;
  for (const std::string& name : session.common().operands) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  if (!session.common().all) return names;
  for (const model::Series& series : trace.series) names.push_back(series.vm.get());
  return names;
}

/// A trace's series by their VMs.
class SeriesByVm {
 public:
  SeriesByVm(const metrics::Trace& trace, const std::string& file) : m_file(file) {
    for (const model::Series& series : trace.series) m_series.emplace(series.vm, &series);
  }
  const model::Series& of(const model::VmName& vm) const {
    const auto it = m_series.find(vm);
    if (it == m_series.end())
      throw base::Error(base::Kind::not_found, fmt::format("{} holds no VM named {}", m_file, vm.get()),
                        "type --all for every VM of the trace");
    return *it->second;
  }

 private:
  const std::string& m_file;
  std::map<model::VmName, const model::Series*> m_series;
};

/// Forecasts for the VMs of a trace file, which need no host.
int predict_trace(Session& session, const PredictOptions& options, const ChosenModel& chosen) {
  const metrics::Trace trace = metrics::read_trace(options.trace);
  for (const std::string& note : trace.notes) base::log(base::Level::info, note);
  const auto forecaster =
      options.no_learning ? forecaster_of(chosen) : learning_forecaster_of(session, chosen, trace.series);
  predict::Round round(*forecaster);
  const SeriesByVm all(trace, options.trace);
  std::vector<model::Record> records;
  std::vector<model::Record*> asked;
  const std::vector<std::string> names = names_in_trace(session, trace);
  records.reserve(names.size());
  std::vector<base::Kind> failures;
  for (const std::string& name : names) {
    model::Vm vm;
    vm.name = model::VmName(name);
    vm.priority = session.config().policy(vm.name).priority;
    model::Record& record = records.emplace_back(vm);
    try {
      const model::Series& series = all.of(vm.name);
      const base::Instant origin = options.at.empty() ? series.samples.back().at : instant_of(options.at);
      const FleetQuestion q = question_of(session, options, vm, origin, "trace");
      round.add(series, q.configured, q.question);
      asked.push_back(&record);
    } catch (base::Error& error) {
      if (error.kind() == base::Kind::invalid) error.set_hint("give a longer trace, or another --at");
      record.set(model::RecordError{error.kind(), "predict", error.what(), error.hint()});
      print_error(error, "predict", vm.name.get());
      failures.push_back(error.kind());
    }
  }
  std::vector<model::Forecast> forecasts = round.finish();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    forecasts[i].model_fallback = chosen.fallback;
    asked[i]->set(forecasts[i]);
  }
  for (const model::Record& record : records) session.out().record(record);
  session.out().finish(predict_table());
  return status_of(failures, asked.size());
}

/// Forecasts for VMs from the history, some thousand together.
int predict_from_history(Session& session, const PredictOptions& options, const ChosenModel& chosen) {
  const base::Instant now = session.clock().now();
  const std::string source = session.config().metrics.source;
  std::vector<FleetQuestion> questions;
  const auto ask = [&](model::Record& record) {
    questions.push_back(question_of(session, options, record.vm(), session.clock().now(), source));
  };
  const auto answer = [&](std::span<model::Record* const> records, const FailOne& fail_one) {
    const std::vector<FleetAnswer> answers =
        forecast_fleet(session.history(), session.cancel(), chosen, std::exchange(questions, {}), now - looked_back);
    std::vector<const model::Record*> forecast;
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (answers[i].error) {
        fail_one(*records[i], *answers[i].error);
        continue;
      }
      records[i]->set(*answers[i].forecast);
      forecast.push_back(records[i]);
    }
    remember(session, forecast, "forecast");
  };
  return for_each_vm(session, "predict", predict_table(), ask, true, answer);
}

int run_predict(Session& session, const PredictOptions& options) {
  check_window(options.within);
  if (!options.at.empty() && options.trace.empty()) throw base::Error(base::Kind::usage, "--at goes with --trace");
  if (!options.trace.empty()) check_trace_operands(session.common());
  if (!options.at.empty()) instant_of(options.at);  // told once, before the trace is read
  const Fallback fallback = options.model_fallback ? Fallback::taken : Fallback::offered;
  if (!options.trace.empty()) {
    if (options.model_fallback && options.model.empty())
      throw base::Error(base::Kind::usage, "--model-fallback goes with --model");
    return predict_trace(session, options, choose_model(options.model, fallback));
  }
  if (options.no_learning) throw base::Error(base::Kind::usage, "--no-learning goes with --trace");
  const ChosenModel chosen =
      options.model.empty() ? choose_model_in_use(session, fallback) : choose_model(options.model, fallback);
  return predict_from_history(session, options, chosen);
}

}  // namespace

Verb predict_verb() {
  auto options = std::make_shared<PredictOptions>();
  Verb verb;
  verb.name = "predict";
  verb.summary = "Forecast which VM will saturate CPU, memory, GPU, network or disk";
  verb.text =
      "From the history that `umbra observe` keeps: the probability that the use of a resource reaches its threshold "
      "within the window, when, and how high the peak will be. A threshold that is not configured is learned from what "
      "the VM did day after day without harm, or else the resource's default, earlier for a critical VM and later for "
      "a low one; `threshold_reason` tells. `trigger` says that waiting is expected to cost as much unmet demand as "
      "acting, weighted by priority; later verbs of a pipeline pass a VM without a trigger by.";
  verb.options = {
      {"-w,--within", "DURATION", "the window ahead, 1m to 6h", "the VM's window",
       set_duration("--within", options->within)},
      {"--model", "FILE", "forecast with that model", "the site's own, else the one that ships; for traces the latter",
       set_text(options->model)},
      {"--model-fallback", "", "where that model can't be used, forecast with the one that ships, and say so", "",
       set_flag(options->model_fallback)},
      {"--trace", "FILE|DIR", "forecast the VMs of a trace instead", "", set_text(options->trace)},
      {"--at", "TIME", "with --trace: use rows up to then only", "the last row", set_text(options->at)},
      {"--no-learning", "", "with --trace: do not learn from its earlier days", "", set_flag(options->no_learning)},
  };
  verb.examples = {"umbra predict --all --within 30m", "umbra predict web1 -o table",
                   "umbra predict --trace week.csv --all --within 1h"};
  verb.run = [options](Session& session) { return run_predict(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
