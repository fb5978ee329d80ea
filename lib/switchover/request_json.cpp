// SPDX-License-Identifier: Apache-2.0
#include "switchover/request_json.hpp"

namespace umbra::switchover {
namespace {

using model::Json;

Json side_json(const Side& side) {
  return {{"host", side.host.get()}, {"peer_uri", side.peer_uri}, {"networks", side.networks}};
}

Side side_from(const Json& json) {
  return {model::HostName(model::required<std::string>(json, "host")), model::required<std::string>(json, "peer_uri"),
          model::required<std::map<std::string, std::string>>(json, "networks")};
}

Json policy_json(const model::VmPolicy& policy) {
  Json json = {{"downtime_limit_ms", policy.downtime_limit.count()},
               {"probe_deadline_s", policy.probe_deadline.count()},
               {"roll_back_on_failed_probe", policy.roll_back_on_failed_probe},
               {"auto_converge", policy.auto_converge},
               {"postcopy", policy.postcopy},
               {"quiesce", policy.quiesce},
               {"retain", policy.retain}};
  if (policy.bandwidth) json["bandwidth"] = policy.bandwidth->value;
  return json;
}

model::VmPolicy policy_from(const Json& json) {
  model::VmPolicy policy;
  policy.downtime_limit = base::Millis(model::required<std::int64_t>(json, "downtime_limit_ms"));
  policy.probe_deadline = base::Seconds(model::required<double>(json, "probe_deadline_s"));
  policy.roll_back_on_failed_probe = model::required<bool>(json, "roll_back_on_failed_probe");
  policy.auto_converge = model::optional_or(json, "auto_converge", true);
  policy.postcopy = model::optional_or(json, "postcopy", false);
  policy.quiesce = model::optional_or(json, "quiesce", true);
  policy.retain = model::required<unsigned>(json, "retain");
  if (const auto rate = model::maybe<double>(json, "bandwidth")) policy.bandwidth = model::ByteRate{*rate};
  return policy;
}

Json cost_json(const Cost& cost) {
  return {{"blackout_ms", cost.blackout_ms}, {"brownout_ms", cost.brownout_ms}, {"bytes", cost.bytes.value}};
}

Cost cost_from(const Json& json) {
  return {model::required<double>(json, "blackout_ms"),
          model::required<double>(json, "brownout_ms"),
          {model::required<std::uint64_t>(json, "bytes")}};
}

}  // namespace

Json to_json(const Request& request) {
  return {{"shadow", request.shadow.get()},
          {"from", side_json(request.from)},
          {"to", side_json(request.to)},
          {"policy", policy_json(request.policy)},
          {"record", request.record}};
}

Request request_from(const model::VmName& vm, const std::string& plan) {
  try {
    const Json json = Json::parse(plan);
    Request request;
    request.vm = vm;
    request.shadow = model::ShadowId(model::required<std::string>(json, "shadow"));
    request.from = side_from(model::required<Json>(json, "from"));
    request.to = side_from(model::required<Json>(json, "to"));
    request.policy = policy_from(model::required<Json>(json, "policy"));
    request.record = model::required<std::string>(json, "record");
    return request;
  } catch (const base::Error& e) {
    throw base::Error(base::Kind::corrupt, fmt::format("the journal's plan of {}'s walk: {}", vm.get(), e.message()));
  } catch (const nlohmann::json::exception&) {
    throw base::Error(base::Kind::corrupt, fmt::format("the journal's plan of {}'s walk is no JSON", vm.get()));
  }
}

Json paths_json(const std::map<model::DiskName, std::string>& paths) {
  Json json = Json::object();
  for (const auto& [disk, path] : paths) json[disk.get()] = path;
  return json;
}

std::map<model::DiskName, std::string> paths_from(const Json& json, const char* key) {
  std::map<model::DiskName, std::string> paths;
  for (const auto& [disk, path] : model::required<std::map<std::string, std::string>>(json, key)) {
    paths[model::DiskName(disk)] = path;
  }
  return paths;
}

Json estimate_json(const Estimate& estimate) {
  return {{"cost", cost_json(estimate.cost)},
          {"modelled", cost_json(estimate.modelled)},
          {"dirty_bytes_per_s", estimate.dirty.value},
          {"bytes_per_s", estimate.rate.value},
          {"delta_bytes", estimate.delta.value}};
}

Estimate estimate_from(const Json& json) {
  return {cost_from(model::required<Json>(json, "cost")),        cost_from(model::required<Json>(json, "modelled")),
          {model::required<double>(json, "dirty_bytes_per_s")},  {model::required<double>(json, "bytes_per_s")},
          {model::required<std::uint64_t>(json, "delta_bytes")}, {}};
}

Json tag_json(const model::RoleTag& tag) {
  return {{"role", model::to_string(tag.role)}, {"peer", tag.peer.get()}, {"epoch", tag.epoch.value}};
}

model::RoleTag tag_from(const Json& json, const char* key) {
  const Json tag = model::required<Json>(json, key);
  return {model::required_name(tag, "role", [](const std::string& text) { return model::role_from_string(text); }),
          model::HostName(model::required<std::string>(tag, "peer")),
          {model::required<std::uint64_t>(tag, "epoch")}};
}

}  // namespace umbra::switchover
