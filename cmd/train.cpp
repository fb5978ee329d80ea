// SPDX-License-Identifier: Apache-2.0
// umbra model train: a model from recordings alone, or the one that ships sharpened by a site's own past.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>

#include "adapters/metrics/trace.hpp"
#include "adapters/xgb/model_file.hpp"
#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/forecasters.hpp"
#include "cmd/model.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "predict/sharpening.hpp"
#include "predict/training.hpp"
#include "predict/walk.hpp"

namespace umbra::cmd {
namespace {

/// What there is to learn from, and where it came from.
struct Material {
  std::vector<predict::TrainingSet> sets;
  model::Json sources = model::Json::array();
};

Material of_traces(const std::vector<std::string>& paths) {
  Material material;
  for (const std::string& path : paths) {
    metrics::Trace trace = read_told(path);
    material.sources.push_back({{"trace", std::filesystem::path(path).filename().string()},
                                {"vms", trace.series.size()},
                                {"rows", trace.counts.used}});
    material.sets.push_back({std::filesystem::path(path).stem().string(), std::move(trace.series)});
  }
  return material;
}

/// Of many VMs those that sharpen() would draw, so that memory holds them.
Material of_history(Session& session, std::size_t most_vms) {
  std::multimap<std::uint64_t, model::Series> drawn;
  const base::Instant now = session.clock().now();
  const base::Instant since = now - std::chrono::round<base::Millis>(session.config().metrics.keep);
  session.history().each_series(since, [&](model::Series&& series) {
    session.cancel().check();
    // What a clock that ran ahead left is of no time yet, and the next trial would wait for one after it.
    std::erase_if(series.samples, [&](const model::Sample& sample) { return sample.at > now; });
    if (series.vm.get().empty() || series.samples.empty()) return;  // a host's own
    drawn.emplace(predict::draw_rank(series), std::move(series));
    if (drawn.size() > most_vms) drawn.erase(std::prev(drawn.end()));
  });
  Material material;
  predict::TrainingSet& set = material.sets.emplace_back();
  set.name = "history";
  std::size_t samples = 0;
  for (auto& [rank, series] : drawn) {
    samples += series.samples.size();
    set.series.push_back(std::move(series));
  }
  if (set.series.empty()) {
    throw base::Error(base::Kind::invalid, "the history holds no VM to learn from", "umbra observe --interval 60s");
  }
  material.sources.push_back({{"history", "umbra observe"}, {"vms", set.series.size()}, {"rows", samples}});
  return material;
}

/// Up to when a site's model has learned, Unix seconds; 0 for the one that ships.
double learned_until(const model::ForecastModel& model) {
  return model.layers.size() < 2 ? 0 : model.layers.back().training.value("until_s", 0.0);
}

double newest_sample(const std::vector<model::Series>& series) {
  double newest = 0;
  for (const model::Series& one : series) {
    if (!one.samples.empty()) newest = std::max(newest, predict::unix_seconds(one.samples.back().at));
  }
  return newest;
}

void report(Session& session, const predict::Sharpened& result, bool kept) {
  Listing listing(session.out(), {"MODEL", "ORIGINS", "SATURATED", "BRIER", "ONSETS' BRIER", "PINBALL", "KEPT"});
  const auto add = [&](const char* name, const predict::Trial& t, bool is_kept) {
    listing.add({{"model", name},
                 {"origins", t.origins},
                 {"saturations", t.saturations},
                 {"brier", t.brier},
                 {"onset_brier", t.onset_brier},
                 {"pinball", t.pinball},
                 {"kept", is_kept}},
                {name, std::to_string(t.origins), std::to_string(t.saturations), fmt::format("{:.5f}", t.brier),
                 fmt::format("{:.5f}", t.onset_brier), fmt::format("{:.5f}", t.pinball), is_kept ? "yes" : "no"});
  };
  add("before", result.before, !kept);
  add("sharpened", result.after, kept);
  listing.finish();
}

predict::Told told_to_log(Session& session) {
  return [&session](const std::string& text) {
    session.cancel().check();
    base::log(base::Level::info, text);
  };
}

void write_out(Session& session, const ModelOptions& options, const model::ForecastModel& model, bool unchanged) {
  if (session.common().dry_run || options.out.empty()) return;
  xgb::write_model_file(options.out, model);
  base::log(base::Level::info, fmt::format("model: {} written to {}{}", model.name(), options.out,
                                           unchanged ? ", unchanged: what the traces taught did no better" : ""));
}

int train_from_scratch(Session& session, const ModelOptions& options, Material material) {
  predict::Recipe recipe;
  recipe.name = options.name;
  recipe.lot.seed = static_cast<std::uint64_t>(options.seed.value_or(1));
  model::ForecastModel trained = predict::train(material.sets, trees(), recipe, told_to_log(session));
  trained.layers.back().training = {{"traces", material.sources}, {"seed", recipe.lot.seed}, {"note", options.note}};
  write_out(session, options, trained, false);
  return exit_done;
}

/// The model to beat. One that can't be used any more, of an earlier version say, beats nothing.
model::ForecastModel rival_of(Session& session, const ModelOptions& options, const model::ForecastModel& ground) {
  if (!options.history) return ground;
  try {
    model::ForecastModel in_use = model_in_use(session);
    predict::LoadedModel(in_use, trees());
    return in_use;
  } catch (const base::Error& error) {
    if (error.kind() != base::Kind::corrupt && error.kind() != base::Kind::unsupported) throw;
    base::log(base::Level::warning, fmt::format("{}; it is left out of the trial", error.what()));
    return ground;
  }
}

/// Always on the model that ships (or --model), so that layers of many months do not pile up; tried against the one in
/// use, on what that has not seen.
int sharpen(Session& session, const ModelOptions& options, Material material) {
  const model::ForecastModel ground = saved_model(options.model);
  const model::ForecastModel in_use = rival_of(session, options, ground);
  const predict::LoadedModel under(ground, trees());
  const predict::LoadedModel rival(in_use, trees());
  std::vector<model::Series> series;
  for (predict::TrainingSet& set : material.sets) std::ranges::move(set.series, std::back_inserter(series));
  predict::SiteLot lot;
  lot.resources.assign(model::all_resources.begin(), model::all_resources.end());
  lot.seed = static_cast<std::uint64_t>(options.seed.value_or(1));
  lot.tested_from = learned_until(in_use);
  lot.most_rows = 60'000;
  lot.most_vms = most_site_vms;
  predict::Sharpened result = predict::sharpen(under, series, lot, trees(), told_to_log(session), &rival);
  base::log(base::Level::info, "model: " + result.verdict);
  if (result.after.origins > 0) report(session, result, result.layer.has_value());
  model::ForecastModel model = ground;
  if (result.layer) {
    result.layer->name = options.name;
    result.layer->training = {{"traces", material.sources},
                              {"seed", lot.seed},
                              {"note", options.note},
                              {"trial", result.verdict},
                              {"until_s", newest_sample(series)}};
    model.layers.push_back(*result.layer);
  }
  write_out(session, options, model, !result.layer);
  if (options.history && result.layer && !session.common().dry_run) {
    session.models().put({0, session.clock().now(), options.name, result.verdict, true}, xgb::encode_model(model));
    base::log(base::Level::info, "model: it is in use from now on; umbra model back takes that back");
  }
  return exit_done;
}

}  // namespace

int run_train(Session& session, const ModelOptions& options) {
  if (options.history && (!options.traces.empty() || options.from_scratch || !options.model.empty())) {
    throw base::Error(base::Kind::usage, "--history goes with neither --trace, --model nor --from-scratch",
                      "umbra model train --history");
  }
  if (!options.history && (options.traces.empty() || options.out.empty())) {
    throw base::Error(base::Kind::usage, "model train needs --history, or else --trace and --out",
                      "umbra model train --history, or umbra model train --trace week.csv --out site.model");
  }
  check_output("--out", options.out);
  Material material = options.history ? of_history(session, most_site_vms) : of_traces(options.traces);
  if (options.from_scratch) return train_from_scratch(session, options, std::move(material));
  return sharpen(session, options, std::move(material));
}

metrics::Trace read_told(const std::string& path) {
  metrics::Trace trace = metrics::read_trace(path);
  for (const std::string& note : trace.notes) base::log(base::Level::info, note);
  return trace;
}

}  // namespace umbra::cmd
