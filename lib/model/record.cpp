// SPDX-License-Identifier: Apache-2.0
#include "model/record.hpp"

#include "model/record_json.hpp"

namespace umbra::model {
namespace {

constexpr const char* schema = "umbra/1";

/// Reads section `key` with `read`; errors name the section.
template <class Read>
auto section(const Json& json, const char* key, Read read) -> std::optional<decltype(read(json))> {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return std::nullopt;
  return base::with_context(fmt::format("section \"{}\" of the record", key), [&] {
    if (!it->is_object()) throw base::Error(base::Kind::invalid, "it is no JSON object");
    return read(*it);
  });
}

Json vm_json(const Vm& vm) {
  return {
      {"name", vm.name.get()}, {"uuid", vm.uuid.get()}, {"host", vm.host.get()}, {"priority", to_string(vm.priority)}};
}

Vm vm_from(const Json& json) {
  Vm vm;
  vm.name = VmName(required<std::string>(json, "name"));
  vm.uuid = Uuid(optional_or<std::string>(json, "uuid", ""));
  vm.host = HostName(optional_or<std::string>(json, "host", ""));
  if (json.contains("priority")) vm.priority = required_name(json, "priority", priority_from_string);
  if (vm.name.get().empty()) throw base::Error(base::Kind::invalid, "the field \"name\" is empty");
  return vm;
}

RecordError error_from(const Json& json) {
  return {base::kind_from_string(required<std::string>(json, "kind")), optional_or<std::string>(json, "verb", ""),
          optional_or<std::string>(json, "message", ""), optional_or<std::string>(json, "hint", "")};
}

ShadowSection shadow_from(const Json& json) {
  ShadowSection shadow;
  shadow.id = ShadowId(required<std::string>(json, "id"));
  shadow.host = HostName(required<std::string>(json, "host"));
  shadow.level = required_name(json, "level", level_from_string);
  shadow.from_pool = optional_or(json, "from_pool", false);
  return shadow;
}

}  // namespace

Record::Record(const Vm& vm) : m_json({{"schema", schema}, {"vm", vm_json(vm)}}) {}

Record Record::parse(std::string_view line) {
  Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded()) {
    const std::string shown(line.substr(0, 60));
    throw base::Error(base::Kind::invalid,
                      fmt::format("this line is no JSON: {}{}", shown, line.size() > 60 ? "…" : ""),
                      "pipe the JSON lines of another umbra verb in, unchanged");
  }
  if (!json.is_object()) throw base::Error(base::Kind::invalid, "a record must be a JSON object");
  const std::string found = optional_or<std::string>(json, "schema", "");
  if (found != schema) {
    throw base::Error(base::Kind::invalid,
                      fmt::format("the record's schema is \"{}\", this umbra reads \"{}\"", found, schema),
                      "use the same version of umbra along the whole pipeline");
  }
  Record record(std::move(json));
  record.vm();
  return record;
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Record::to_line() const {
  return to_text(m_json);
}

Vm Record::vm() const {
  auto vm = section(m_json, "vm", vm_from);
  if (!vm) throw base::Error(base::Kind::invalid, "the record has no section \"vm\"");
  return *vm;
}

std::optional<Forecast> Record::forecast() const {
  return section(m_json, "forecast", forecast_from);
}
std::optional<Placement> Record::placement() const {
  return section(m_json, "placement", placement_from);
}
std::optional<ShadowSection> Record::shadow() const {
  return section(m_json, "shadow", shadow_from);
}
std::optional<Replica> Record::replica() const {
  return section(m_json, "replica", replica_from);
}
std::optional<StateSection> Record::state() const {
  return section(m_json, "state", state_from);
}
std::optional<Decision> Record::decision() const {
  return section(m_json, "decision", decision_from);
}
std::optional<Outcome> Record::outcome() const {
  return section(m_json, "outcome", outcome_from);
}
std::optional<RecordError> Record::error() const {
  return section(m_json, "error", error_from);
}

void Record::set(const Vm& vm) {
  m_json["vm"] = vm_json(vm);
}
void Record::set(const Forecast& forecast) {
  m_json["forecast"] = to_json(forecast);
}
void Record::set(const Placement& placement) {
  m_json["placement"] = to_json(placement);
}
void Record::set(const ShadowSection& shadow) {
  m_json["shadow"] = to_json(shadow);
}
void Record::set(const Replica& replica) {
  m_json["replica"] = to_json(replica);
}
void Record::set(const StateSection& state) {
  m_json["state"] = to_json(state);
}
void Record::set(const Decision& decision) {
  m_json["decision"] = to_json(decision);
}
void Record::set(const Outcome& outcome) {
  m_json["outcome"] = to_json(outcome);
}
void Record::set(const RecordError& error) {
  m_json["error"] = {
      {"kind", base::to_string(error.kind)}, {"verb", error.verb}, {"message", error.message}, {"hint", error.hint}};
}

}  // namespace umbra::model
