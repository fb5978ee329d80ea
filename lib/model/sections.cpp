// SPDX-License-Identifier: Apache-2.0
// JSON of each section, both ways.
#include "model/sections.hpp"

#include <array>
#include <cmath>

#include "model/record.hpp"
#include "model/record_json.hpp"

namespace umbra::model {
namespace {

/// The value whose to_string() is `text`.
template <class Enum, std::size_t N>
std::optional<Enum> named(std::string_view text, const std::array<Enum, N>& all) {
  for (const Enum value : all) {
    if (to_string(value) == text) return value;
  }
  return std::nullopt;
}

Json quantiles_json(const Quantiles& q) {
  return {{"p10", q.p10}, {"p50", q.p50}, {"p90", q.p90}};
}

Quantiles quantiles_from(const Json& json) {
  return {required<double>(json, "p10"), required<double>(json, "p50"), required<double>(json, "p90")};
}

template <class Map>
Json map_json(const Map& map) {
  Json json = Json::object();
  for (const auto& [key, value] : map) json[key] = value;
  return json;
}

std::uint64_t bytes(const Json& json, const char* key) {
  return optional_or<std::uint64_t>(json, key, 0);
}

Json phases_json(const std::vector<Phase>& phases) {
  Json json = Json::array();
  for (const Phase& phase : phases) json.push_back({{"name", phase.name}, {"ms", phase.ms}});
  return json;
}

std::vector<Phase> phases_from(const Json& json) {
  std::vector<Phase> phases;
  for (const Json& phase : optional_or(json, "phases", Json::array()))
    phases.push_back({required<std::string>(phase, "name"), required<double>(phase, "ms")});
  return phases;
}

base::Digest required_digest(const Json& json, const char* key) {
  return required_name(json, key, [](const std::string& text) { return base::Digest::parse(text); });
}

ResourceForecast resource_from(const Json& json) {
  ResourceForecast f;
  f.now = required<double>(json, "now");
  f.threshold = required<double>(json, "threshold");
  f.threshold_source = optional_or<std::string>(json, "threshold_source", "");
  f.threshold_reason = optional_or<std::string>(json, "threshold_reason", "");
  f.p_saturation = required<double>(json, "p_saturation");
  if (const auto it = json.find("saturates_in_s"); it != json.end() && !it->is_null())
    f.saturates_in_s = quantiles_from(*it);
  f.peak = quantiles_from(required<Json>(json, "peak"));
  f.expected_cost_s = optional_or<double>(json, "expected_cost_s", 0);
  f.confidence = optional_or<double>(json, "confidence", 0);
  return f;
}

Json resource_json(const ResourceForecast& f) {
  Json json = {{"now", f.now},
               {"threshold", f.threshold},
               {"threshold_source", f.threshold_source},
               {"threshold_reason", f.threshold_reason},
               {"p_saturation", f.p_saturation}};
  if (f.saturates_in_s) json["saturates_in_s"] = quantiles_json(*f.saturates_in_s);
  json["peak"] = quantiles_json(f.peak);
  json["expected_cost_s"] = f.expected_cost_s;
  json["confidence"] = f.confidence;
  return json;
}

}  // namespace

std::string_view to_string(Priority priority) {
  switch (priority) {
    case Priority::critical:
      return "critical";
    case Priority::high:
      return "high";
    case Priority::normal:
      return "normal";
    case Priority::low:
      return "low";
  }
  return "normal";
}

std::optional<Priority> priority_from_string(std::string_view text) {
  return named(text, std::array{Priority::critical, Priority::high, Priority::normal, Priority::low});
}

std::string_view to_string(ShadowLevel level) {
  switch (level) {
    case ShadowLevel::defined:
      return "defined";
    case ShadowLevel::seeded:
      return "seeded";
    case ShadowLevel::warm:
      return "warm";
    case ShadowLevel::hot:
      return "hot";
    case ShadowLevel::active:
      return "active";
  }
  return "defined";
}

std::optional<ShadowLevel> level_from_string(std::string_view text) {
  return named(text, std::array{ShadowLevel::defined, ShadowLevel::seeded, ShadowLevel::warm, ShadowLevel::hot,
                                ShadowLevel::active});
}

Json to_json(const Forecast& f) {
  Json resources = Json::object();
  for (const auto& [resource, forecast] : f.resources)
    resources[std::string(to_string(resource))] = resource_json(forecast);
  Json json = {{"made_at", base::to_rfc3339(f.made_at)}, {"within_s", f.within_s}, {"trigger", f.trigger}};
  json["binding"] = f.binding ? Json(to_string(*f.binding)) : Json(nullptr);
  json["acting_cost_s"] = f.acting_cost_s;
  json["resources"] = std::move(resources);
  json["model"] = f.model;
  if (!f.model_fallback.empty()) json["model_fallback"] = f.model_fallback;
  json["history_s"] = f.history_s;
  json["samples"] = f.samples;
  json["source"] = f.source;
  return json;
}

Forecast forecast_from(const Json& json) {
  Forecast f;
  f.made_at = required_time(json, "made_at");
  f.within_s = required<double>(json, "within_s");
  f.trigger = required<bool>(json, "trigger");
  if (maybe<std::string>(json, "binding")) f.binding = required_name(json, "binding", resource_from_string);
  f.acting_cost_s = optional_or(json, "acting_cost_s", 0.0);
  const Json resources = required<Json>(json, "resources");
  for (const auto& [name, value] : resources.items()) {
    const auto resource = resource_from_string(name);
    if (!resource)
      throw base::Error(base::Kind::invalid, fmt::format("\"resources\" names an unknown resource: {}", name));
    f.resources[*resource] = resource_from(value);
  }
  f.model = optional_or<std::string>(json, "model", "");
  f.model_fallback = optional_or<std::string>(json, "model_fallback", "");
  f.history_s = optional_or(json, "history_s", 0.0);
  f.samples = bytes(json, "samples");
  f.source = optional_or<std::string>(json, "source", "");
  return f;
}

Json to_json(const Placement& p) {
  Json rejected = Json::object();
  for (const auto& [host, reason] : p.rejected) rejected[host.get()] = reason;
  Json alternatives = Json::array();
  for (const HostName& host : p.alternatives) alternatives.push_back(host.get());
  return {{"host", p.host.get()},         {"score", p.score},     {"terms", map_json(p.terms)},
          {"migration_s", p.migration_s}, {"rejected", rejected}, {"alternatives", alternatives}};
}

Placement placement_from(const Json& json) {
  Placement p;
  p.host = HostName(required<std::string>(json, "host"));
  p.score = optional_or(json, "score", 0.0);
  p.terms = optional_or(json, "terms", std::map<std::string, double>{});
  p.migration_s = optional_or(json, "migration_s", 0.0);
  const auto rejected = optional_or(json, "rejected", std::map<std::string, std::string>{});
  for (const auto& [host, reason] : rejected) p.rejected[HostName(host)] = reason;
  const auto alternatives = optional_or(json, "alternatives", std::vector<std::string>{});
  for (const auto& host : alternatives) p.alternatives.emplace_back(host);
  return p;
}

Json to_json(const ShadowSection& s) {
  return {{"id", s.id.get()}, {"host", s.host.get()}, {"level", to_string(s.level)}, {"from_pool", s.from_pool}};
}

Json to_json(const Replica& r) {
  Json json = {{"point", r.point.value},
               {"root", r.root.to_string()},
               {"taken_at", base::to_rfc3339(r.taken_at)},
               {"lag_s", r.lag_s},
               {"dirty_bytes", r.dirty.value},
               {"data_bytes", r.data.value},
               {"zero_bytes", r.zero.value},
               {"resumed_bytes", r.resumed.value},
               {"skipped_bytes", r.skipped.value},
               {"sent_bytes", r.sent.value},
               {"verified", r.verified},
               {"method", r.method},
               {"why", r.why},
               {"duration_s", r.duration_s},
               {"phases", phases_json(r.phases)}};
  if (r.sent.value > 0) json["ratio"] = static_cast<double>(r.data.value) / static_cast<double>(r.sent.value);
  if (r.quiesced) json["quiesced"] = *r.quiesced;
  for (const auto& [disk, stamp] : r.images_off)
    json["images_off"][disk.get()] = {{"bytes", stamp.bytes}, {"modified_ns", stamp.modified_ns}};
  json["next_due"] = r.next_due ? Json(base::to_rfc3339(*r.next_due)) : Json(nullptr);
  json["due_reason"] = r.due_reason;
  if (r.rpo_s) json["rpo_s"] = *r.rpo_s;
  if (r.previous_age_s) json["previous_age_s"] = *r.previous_age_s;
  if (r.rpo_met) json["rpo_met"] = *r.rpo_met;
  return json;
}

Replica replica_from(const Json& json) {
  Replica r;
  r.point = {required<std::uint64_t>(json, "point")};
  r.root = required_digest(json, "root");
  r.taken_at = required_time(json, "taken_at");
  r.lag_s = optional_or(json, "lag_s", 0.0);
  r.dirty = {bytes(json, "dirty_bytes")};
  r.data = {bytes(json, "data_bytes")};
  r.zero = {bytes(json, "zero_bytes")};
  r.resumed = {bytes(json, "resumed_bytes")};
  r.skipped = {bytes(json, "skipped_bytes")};
  r.sent = {bytes(json, "sent_bytes")};
  r.verified = optional_or(json, "verified", false);
  r.quiesced = maybe<bool>(json, "quiesced");
  r.method = optional_or<std::string>(json, "method", "");
  r.why = optional_or<std::string>(json, "why", "");
  r.duration_s = optional_or(json, "duration_s", 0.0);
  r.phases = phases_from(json);
  if (const auto images = json.find("images_off"); images != json.end()) {
    for (const auto& [disk, stamp] : images->items())
      r.images_off[DiskName(disk)] = {required<std::uint64_t>(stamp, "bytes"),
                                      required<std::int64_t>(stamp, "modified_ns")};
  }
  if (maybe<std::string>(json, "next_due")) r.next_due = required_time(json, "next_due");
  r.due_reason = optional_or<std::string>(json, "due_reason", "");
  r.rpo_s = maybe<double>(json, "rpo_s");
  r.previous_age_s = maybe<double>(json, "previous_age_s");
  r.rpo_met = maybe<bool>(json, "rpo_met");
  return r;
}

Json to_json(const StateSection& s) {
  Json json = {{"level", to_string(s.level)},
               {"point", s.point.value},
               {"memory_bytes", s.memory.value},
               {"sent_bytes", s.sent.value}};
  if (s.processes) json["processes"] = *s.processes;
  if (s.open_files) json["open_files"] = *s.open_files;
  json["paused_ms"] = s.paused_ms;
  return json;
}

StateSection state_from(const Json& json) {
  StateSection s;
  s.level = required_name(json, "level", level_from_string);
  s.point = {required<std::uint64_t>(json, "point")};
  s.memory = {bytes(json, "memory_bytes")};
  s.sent = {bytes(json, "sent_bytes")};
  s.processes = maybe<std::uint64_t>(json, "processes");
  s.open_files = maybe<std::uint64_t>(json, "open_files");
  s.paused_ms = optional_or(json, "paused_ms", 0.0);
  return s;
}

Json to_json(const Decision& d) {
  return {{"migrate", d.migrate},     {"net_benefit", d.net_benefit},
          {"threshold", d.threshold}, {"gain", d.gain},
          {"cost", d.cost},           {"inputs", map_json(d.inputs)},
          {"reasons", d.reasons},     {"would_change", d.would_change},
          {"model", d.model}};
}

Decision decision_from(const Json& json) {
  Decision d;
  d.migrate = required<bool>(json, "migrate");
  d.net_benefit = optional_or(json, "net_benefit", 0.0);
  d.threshold = optional_or(json, "threshold", 0.0);
  d.gain = optional_or(json, "gain", 0.0);
  d.cost = optional_or(json, "cost", 0.0);
  d.inputs = optional_or(json, "inputs", std::map<std::string, double>{});
  d.reasons = optional_or(json, "reasons", std::vector<std::string>{});
  d.would_change = optional_or(json, "would_change", std::vector<std::string>{});
  d.model = optional_or<std::string>(json, "model", "");
  return d;
}

Json to_json(const Outcome& o) {
  Json json = {{"result", o.result}};
  if (o.blackout_ms) json["blackout_ms"] = *o.blackout_ms;
  if (o.blackout_estimate_ms) json["blackout_estimate_ms"] = *o.blackout_estimate_ms;
  if (o.blackout_model_ms) json["blackout_model_ms"] = *o.blackout_model_ms;
  if (o.brownout_ms) json["brownout_ms"] = *o.brownout_ms;
  if (o.brownout_estimate_ms) json["brownout_estimate_ms"] = *o.brownout_estimate_ms;
  if (o.sent) json["sent_bytes"] = o.sent->value;
  if (o.sent_estimate) json["sent_estimate_bytes"] = o.sent_estimate->value;
  if (o.lost_s) json["lost_s"] = *o.lost_s;
  json["phases"] = phases_json(o.phases);
  json["primary"] = o.primary;
  json["epoch"] = o.epoch.value;
  json["host"] = o.host.get();
  if (!o.notes.empty()) json["notes"] = o.notes;
  return json;
}

Outcome outcome_from(const Json& json) {
  Outcome o;
  o.result = required<std::string>(json, "result");
  o.blackout_ms = maybe<double>(json, "blackout_ms");
  o.blackout_estimate_ms = maybe<double>(json, "blackout_estimate_ms");
  o.blackout_model_ms = maybe<double>(json, "blackout_model_ms");
  o.brownout_ms = maybe<double>(json, "brownout_ms");
  o.brownout_estimate_ms = maybe<double>(json, "brownout_estimate_ms");
  if (const auto sent = maybe<std::uint64_t>(json, "sent_bytes")) o.sent = ByteCount{*sent};
  if (const auto sent = maybe<std::uint64_t>(json, "sent_estimate_bytes")) o.sent_estimate = ByteCount{*sent};
  o.lost_s = maybe<double>(json, "lost_s");
  o.phases = phases_from(json);
  o.primary = optional_or<std::string>(json, "primary", "");
  o.epoch = {bytes(json, "epoch")};
  o.host = HostName(optional_or<std::string>(json, "host", ""));
  o.notes = optional_or(json, "notes", std::vector<std::string>{});
  return o;
}

Json to_json(const GuestActivity& a) {
  Json processes = Json::array();
  for (const GuestProcess& p : a.processes)
    processes.push_back({{"pid", p.pid}, {"name", p.name}, {"started_ticks", p.started_ticks}});
  Json json = {{"processes", std::move(processes)}, {"open_files", a.open_files}};
  if (a.uptime_s) json["uptime_s"] = *a.uptime_s;
  return json;
}

GuestActivity activity_from(const Json& json) {
  GuestActivity a;
  const Json processes = optional_or(json, "processes", Json::array());
  for (const Json& p : processes)
    a.processes.push_back({required<std::int64_t>(p, "pid"), optional_or<std::string>(p, "name", ""),
                           optional_or<std::int64_t>(p, "started_ticks", 0)});
  a.open_files = bytes(json, "open_files");
  a.uptime_s = maybe<double>(json, "uptime_s");
  return a;
}

}  // namespace umbra::model
