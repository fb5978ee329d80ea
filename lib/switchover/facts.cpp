// SPDX-License-Identifier: Apache-2.0
// The fold over a walk's journal entries.
#include "switchover/request_json.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

using ports::StepPhase;

base::Digest digest_from(const Json& json, const char* key) {
  return model::required_name(json, key, [](const std::string& text) { return base::Digest::parse(text); });
}

StandIn stand_in_from(const Json& json) {
  if (json.is_null()) return {};
  return {true, tag_from(json, "tag"), paths_from(json, "disks")};
}

void learn_intent(Facts& facts, const std::string& step, const Json& data) {
  if (step == "freeze") facts.overlays = paths_from(data, "overlays");
  if (data.contains("tag")) facts.tag = tag_from(data, "tag");  // of older walks it stands with prepare
  if (step == "raise") facts.purpose = model::required<std::string>(data, "purpose");
  if (step == "prepare") {
    facts.purpose = model::required<std::string>(data, "purpose");
    facts.autostart = model::optional_or(data, "autostart", false);
    if (data.contains("stand_in")) facts.stand_in = stand_in_from(data.at("stand_in"));
  }
  if (step == "move") facts.not_moved = !model::optional_or(data, "moved", true);
  if (step == "redirect") {
    // A second intent: the run that wrote the first may have called any of them before it died.
    facts.redirected.insert(facts.to_call.begin(), facts.to_call.end());
    facts.undoing = model::optional_or(data, "undo", false);
    facts.to_call = model::optional_or(data, "redirectors", std::vector<std::string>{});
  }
}

/// A second run of the step may know less than the first did.
void learn_figures(Facts& facts, const Json& data) {
  if (const auto ms = model::maybe<double>(data, "blackout_ms")) facts.blackout_ms = ms;
  if (const auto ms = model::maybe<double>(data, "brownout_ms")) facts.brownout_ms = ms;
  if (const auto bytes = model::maybe<std::uint64_t>(data, "moved_bytes")) facts.moved_bytes = model::ByteCount{*bytes};
}

void learn_done(Facts& facts, const std::string& step, const Json& data) {
  if (step == "lease") {
    if (data.contains("frozen")) facts.frozen = paths_from(data, "frozen");
    facts.parent = {model::required<std::uint64_t>(data, "parent")};
    if (data.contains("estimate")) facts.estimate = estimate_from(data.at("estimate"));
  } else if (step == "freeze") {
    facts.taken_at = model::required_time(data, "taken_at");
    facts.quiesced = model::required<bool>(data, "quiesced");
  } else if (step == "finish") {
    facts.point = {model::required<std::uint64_t>(data, "point")};
    facts.root = digest_from(data, "root");
    facts.sent = {model::required<std::uint64_t>(data, "sent_bytes")};
  } else if (step == "prepare") {
    facts.top = paths_from(data, "top");
  } else if (step == "move") {
    facts.moved = true;
    facts.blackout_ms = model::maybe<double>(data, "blackout_ms");  // of walks before it was written with retire
  } else if (step == "retire") {
    learn_figures(facts, data);
  } else if (step == "raise" || step == "fence") {
    (step == "raise" ? facts.raised : facts.fenced) = true;
    facts.moved = facts.raised && facts.fenced;  // in either order: earlier versions fenced first
  } else if (step == "activate") {
    facts.lost_s = model::maybe<double>(data, "lost_s");
  } else if (step == "redirect") {
    facts.healthy = model::maybe<bool>(data, "healthy");
    for (const auto& name : model::optional_or(data, "redirected", facts.to_call)) facts.redirected.insert(name);
  }
  for (const auto& note : model::optional_or(data, "notes", std::vector<std::string>{})) facts.notes.push_back(note);
}

}  // namespace

void Facts::learn(const ports::JournalEntry& entry) {
  try {
    const Json data = Json::parse(entry.data);
    if (entry.phase == StepPhase::intent) learn_intent(*this, entry.step, data);
    if (entry.phase == StepPhase::done) learn_done(*this, entry.step, data);
    if (entry.phase == StepPhase::undone && entry.step == "move") not_moved = true;
  } catch (const nlohmann::json::exception&) {
    throw base::Error(base::Kind::corrupt, fmt::format("the journal's entry of {} is no JSON", entry.step));
  } catch (base::Error& e) {
    throw base::Error(base::Kind::corrupt, fmt::format("the journal's entry of {}: {}", entry.step, e.message()));
  }
}

}  // namespace umbra::switchover
