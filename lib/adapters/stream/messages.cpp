// SPDX-License-Identifier: Apache-2.0
#include "adapters/stream/messages.hpp"

#include <fmt/core.h>

#include <limits>

#include "base/text.hpp"

namespace umbra::stream {
namespace {

using base::Error;
using base::Kind;

constexpr std::size_t most_parts = 64;
constexpr std::uint64_t most_number = 1ull
                                      << 53;  // of points: what every reader of JSON holds exactly; none could follow

base::Digest digest_from(const json& value) {
  const auto digest = base::Digest::parse(value.get<std::string>());
  if (!digest) throw Error(Kind::invalid, fmt::format("{} is no digest", base::shown(value.dump())));
  return *digest;
}

}  // namespace

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json parse_object(std::string_view text, std::size_t most_values) {
  std::size_t values = 0;
  const auto count = [&](int, json::parse_event_t, const json&) {
    if (++values > most_values)
      throw Error(Kind::invalid, fmt::format("a message of the stream has more than {} values", most_values));
    return true;
  };
  json value = json::parse(text, count, false);
  if (!value.is_object()) throw Error(Kind::invalid, "a message of the stream is no JSON object");
  return value;
}

std::uint64_t number_from(const json& value, std::uint64_t most) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
    throw Error(Kind::invalid, fmt::format("{} is no whole number from 0 to {}", base::shown(value.dump()), most));
  return value.get<std::uint64_t>();
}

model::PointNumber point_number_from(const json& value) {
  return {number_from(value, most_number)};
}

base::Instant instant_from(const json& value) {
  const auto instant = base::parse_rfc3339(value.get<std::string>());
  if (!instant) throw Error(Kind::invalid, fmt::format("{} is no time", base::shown(value.dump())));
  return *instant;
}

json to_json(const std::vector<model::Part>& parts) {
  json list = json::array();
  for (const model::Part& part : parts) list.push_back({{"name", part.name.get()}, {"size", part.size.value}});
  return list;
}

std::vector<model::Part> parts_from(const json& value) {
  return reading([&] {
    std::vector<model::Part> parts;
    if (value.size() > most_parts)  // before anything is made for each of them
      throw Error(Kind::invalid, fmt::format("a point has at most {} parts, not {}", most_parts, value.size()));
    for (const json& part : value)
      parts.push_back({model::DiskName(part.at("name").get<std::string>()), {number_from(part.at("size"))}});
    return parts;
  });
}

std::uint64_t pages_from(const json& value) {
  return reading([&] { return number_from(value.at("pages")); });
}

json to_json(const model::PointHeader& h) {
  return {{"shadow", h.shadow.get()},
          {"vm", h.vm.get()},
          {"number", h.number.value},
          {"parent", h.parent.value},
          {"parent_root", h.parent_root.to_string()},
          {"taken_at", base::to_rfc3339(h.taken_at)},
          {"checkpoint", h.checkpoint},
          {"parts", to_json(h.parts)},
          {"activity", h.activity},
          {"resume", h.resume}};
}

model::PointHeader header_from(const json& value) {
  return reading([&] {
    model::PointHeader h;
    h.shadow = model::ShadowId(value.at("shadow").get<std::string>());
    h.vm = model::VmName(value.at("vm").get<std::string>());
    h.number = point_number_from(value.at("number"));
    h.parent = point_number_from(value.at("parent"));
    h.parent_root = digest_from(value.at("parent_root"));
    h.taken_at = instant_from(value.at("taken_at"));
    h.parts = parts_from(value.at("parts"));
    h.checkpoint = value.at("checkpoint").get<std::string>();
    h.activity = value.at("activity").get<std::string>();
    h.resume = value.value("resume", false);
    return h;
  });
}

json to_json(const model::PointInfo& info) {
  return {
      {"number", info.number.value},   {"root", info.root.to_string()}, {"taken_at", base::to_rfc3339(info.taken_at)},
      {"parts", to_json(info.parts)},  {"layers", info.layers},         {"bytes", info.bytes.value},
      {"checkpoint", info.checkpoint}, {"read_back", info.read_back},   {"damaged", info.damaged}};
}

model::PointInfo info_from(const json& value) {
  return reading([&] {
    model::PointInfo info;
    info.number = {value.at("number").get<std::uint64_t>()};
    info.root = digest_from(value.at("root"));
    info.taken_at = instant_from(value.at("taken_at"));
    info.checkpoint = value.at("checkpoint").get<std::string>();
    info.read_back = value.at("read_back").get<bool>();
    info.damaged = value.at("damaged").get<std::string>();
    info.parts = parts_from(value.at("parts"));
    info.layers = value.at("layers").get<std::vector<std::string>>();
    info.bytes = {value.at("bytes").get<std::uint64_t>()};
    if (info.layers.size() != info.parts.size())
      throw Error(Kind::invalid, "a point has more parts than layers, or fewer");
    return info;
  });
}

json to_json(const model::Ground& ground) {
  json value{{"last", ground.last.value}, {"damage", ground.damage}, {"parts", json::array()}};
  if (ground.parent) value["parent"] = to_json(*ground.parent);
  if (!ground.found) return value;
  std::vector<model::Part> parts;
  for (const model::PartManifest& part : ground.found->parts) parts.push_back(part.part);
  value["parts"] = to_json(parts);
  return value;
}

model::Ground ground_from(const json& value) {
  return reading([&] {
    model::Ground ground;
    ground.last = {value.at("last").get<std::uint64_t>()};
    ground.damage = value.at("damage").get<std::string>();
    if (value.contains("parent")) ground.parent = info_from(value["parent"]);
    return ground;
  });
}

std::string_view to_string(ports::Verify what) {
  switch (what) {
    case ports::Verify::unread:
      return "unread";
    case ports::Verify::whole:
      return "whole";
    case ports::Verify::sample:
      return "sample";
  }
  return "whole";
}

ports::Verify verify_from(const std::string& text) {
  for (const auto what : {ports::Verify::unread, ports::Verify::whole, ports::Verify::sample}) {
    if (to_string(what) == text) return what;
  }
  throw Error(Kind::invalid, fmt::format("\"{}\" is no way to verify", base::shown(text)));
}

json to_json(const ports::Keep& keep) {
  json value{{"most", keep.most}};
  if (keep.since) value["since"] = base::to_rfc3339(*keep.since);
  return value;
}

ports::Keep keep_from(const json& value) {
  return reading([&] {
    ports::Keep keep(static_cast<unsigned>(number_from(value.at("most"), std::numeric_limits<unsigned>::max())));
    if (value.contains("since")) keep.since = instant_from(value["since"]);
    return keep;
  });
}

json to_json(const Paths& paths) {
  json object = json::object();
  for (const auto& [disk, path] : paths) object[disk.get()] = path;
  return object;
}

Paths paths_from(const json& value) {
  return reading([&] {
    Paths paths;
    for (const auto& [disk, path] : value.items()) paths[model::DiskName(disk)] = path.get<std::string>();
    return paths;
  });
}

json to_json(const model::VerifyReport& report) {
  json mismatches = json::array();
  for (const model::Mismatch& m : report.mismatches) {
    mismatches.push_back({{"disk", m.disk.get()}, {"what", m.what}});
    if (m.offset) mismatches.back()["offset"] = *m.offset;
  }
  return {{"blocks_read", report.blocks_read}, {"places", report.places}, {"mismatches", mismatches}};
}

model::VerifyReport report_from(const json& value) {
  return reading([&] {
    model::VerifyReport report;
    report.blocks_read = value.at("blocks_read").get<std::uint64_t>();
    for (const json& m : value.at("mismatches")) {
      model::Mismatch mismatch{model::DiskName(m.at("disk").get<std::string>()), {}, m.at("what").get<std::string>()};
      if (m.contains("offset")) mismatch.offset = m.at("offset").get<std::uint64_t>();
      report.add(std::move(mismatch));
    }
    report.places = value.value("places", report.places);
    return report;
  });
}

json to_json(const model::FileStamp& stamp) {
  return {{"bytes", stamp.bytes}, {"modified_ns", stamp.modified_ns}};
}

model::FileStamp stamp_from(const json& value) {
  return reading([&] {
    return model::FileStamp{value.at("bytes").get<std::uint64_t>(), value.at("modified_ns").get<std::int64_t>()};
  });
}

json to_json(const Error& error) {
  return {{"kind", base::to_string(error.kind())},
          {"message", error.message()},
          {"hint", error.hint()},
          {"context", error.context()}};
}

Error error_from(const json& value) {
  return reading([&] {
    Error error(base::kind_from_string(value.at("kind").get<std::string>()), value.at("message").get<std::string>(),
                value.at("hint").get<std::string>());
    const auto context = value.at("context").get<std::vector<std::string>>();
    for (auto it = context.rbegin(); it != context.rend(); ++it) error.add_context(*it);
    return error;
  });
}

}  // namespace umbra::stream
