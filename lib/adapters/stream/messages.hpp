// SPDX-License-Identifier: Apache-2.0
#pragma once
// The JSON of FORMAT.md: values of the port, and errors, to JSON and back. A wrong form is Kind::invalid.

#include <nlohmann/json.hpp>

#include "adapters/stream/format.hpp"
#include "base/error.hpp"
#include "ports/point_store.hpp"

namespace umbra::stream {

using nlohmann::json;
using Paths = std::map<model::DiskName, std::string>;

json to_json(const std::vector<model::Part>& parts);
std::vector<model::Part> parts_from(const json& value);
json to_json(const model::PointHeader& header);
model::PointHeader header_from(const json& value);
json to_json(const model::PointInfo& info);
model::PointInfo info_from(const json& value);
/// Without the digests of `found`, which follow the message: its `parts` name them.
json to_json(const model::Ground& ground);
model::Ground ground_from(const json& value);
std::string_view to_string(ports::Verify what);
ports::Verify verify_from(const std::string& text);
json to_json(const ports::Keep& keep);
ports::Keep keep_from(const json& value);
json to_json(const Paths& paths);
Paths paths_from(const json& value);
json to_json(const model::VerifyReport& report);
model::VerifyReport report_from(const json& value);
json to_json(const model::FileStamp& stamp);
model::FileStamp stamp_from(const json& value);
json to_json(const base::Error& error);
base::Error error_from(const json& value);

/// Of a message before a manifest: how many pages of digests follow.
std::uint64_t pages_from(const json& value);
/// The object in a frame; Kind::invalid where it is none, or of more values than `most_values`: each takes memory many
/// times its text.
json parse_object(std::string_view text, std::size_t most_values = most_reply_values);
inline json parse_request(std::string_view text) {
  return parse_object(text, most_request_values);
}
/// A whole number from 0 to `most`; Kind::invalid for any other value.
std::uint64_t number_from(const json& value, std::uint64_t most = ~std::uint64_t{0});
/// The same of a point, which another can follow.
model::PointNumber point_number_from(const json& value);
base::Instant instant_from(const json& value);
/// As text for a frame. Bytes that are no UTF-8 (a path may hold any) are replaced rather than refused.
std::string dump(const json& value);
/// Runs `act`; a missing or mistyped field becomes Kind::invalid.
template <class Act>
auto reading(Act&& act) {
  try {
    return act();
  } catch (const json::exception& e) {
    throw base::Error(base::Kind::invalid, std::string("a message of the stream has a wrong form: ") + e.what());
  }
}

}  // namespace umbra::stream
