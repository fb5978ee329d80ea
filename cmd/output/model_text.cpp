// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/model_text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "base/text.hpp"
#include "cmd/output/table.hpp"

namespace umbra::cmd {
namespace {

constexpr std::size_t line_width = 100;
constexpr std::size_t indent = 2;

/// Null where it is not there, and so is what is asked of it.
const model::Json& at(const model::Json& json, const char* key) {
  static const model::Json none;
  const auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() ? none : *found;
}

std::string text_at(const model::Json& json, const char* key) {
  const model::Json& value = at(json, key);
  if (value.is_string()) return base::shown(value.get_ref<const std::string&>());
  if (value.is_number_unsigned()) return std::to_string(value.get<std::uint64_t>());
  if (value.is_number()) return fmt::format("{:g}", value.get<double>());
  return "-";
}

std::string figure_at(const model::Json& json, const char* key) {
  const model::Json& value = at(json, key);
  return figure(value.is_number() ? std::optional(value.get<double>()) : std::nullopt);
}

void add_paragraph(std::string& out, const model::Json& training, const char* key) {
  const model::Json& value = at(training, key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) return;
  std::string text = value.get<std::string>();
  std::ranges::replace_if(
      text, [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  out += std::string(indent, ' ') + base::filled(text, line_width, indent) + "\n";
}

void add_layer(std::string& out, const model::ForecastLayer& layer, bool colour) {
  out +=
      fmt::format("{}: weight {:g}, seed {}\n", base::shown(layer.name), layer.weight, text_at(layer.training, "seed"));
  add_paragraph(out, layer.training, "note");
  add_paragraph(out, layer.training, "trial");
  Table sources({"LEARNED FROM", "VMS", "ROWS"});
  for (const model::Json& source : at(layer.training, "traces")) {
    const char* name = at(source, "trace").is_null() ? "history" : "trace";
    sources.add({text_at(source, name), text_at(source, "vms"), text_at(source, "rows")});
  }
  if (!sources.empty()) out += "\n" + sources.render(colour);
  out += "\n";
}

void add_scores(std::string& out, const model::Json& scores, bool colour) {
  Table table({"SET", "RESOURCE", "WITHIN S", "THRESHOLD", "ORIGINS", "SATURATED", "BRIER SKILL", "AVG PRECISION",
               "RECALL@P.8", "ONSET AP", "ONSET R@P.5", "PINBALL", "COVERAGE", "CAL. ERROR"});
  for (const model::Json& row : scores) {
    const model::Json& all = at(row, "all");
    const model::Json& onsets = at(row, "onsets");
    const model::Json& peak = at(row, "peak");
    table.add({text_at(row, "set"), text_at(row, "resource"), text_at(row, "within_s"), text_at(row, "threshold"),
               text_at(all, "forecasts"), text_at(all, "saturations"), figure_at(all, "brier_skill"),
               figure_at(all, "average_precision"), figure_at(all, "recall_at_precision_80"),
               figure_at(onsets, "average_precision"), figure_at(onsets, "recall_at_precision_50"),
               figure_at(peak, "pinball_ratio"), figure_at(peak, "coverage"), figure_at(all, "calibration_error")});
  }
  if (table.empty()) return;
  out += "On VMs and a time that the first layer did not see; skill and pinball loss beside persistence:\n\n" +
         table.render(colour);
}

}  // namespace

std::string model_text(const model::ForecastModel& model, bool colour) {
  std::string out;
  for (const model::ForecastLayer& layer : model.layers) add_layer(out, layer, colour);
  add_scores(out, model.scores, colour);
  return out;
}

}  // namespace umbra::cmd
