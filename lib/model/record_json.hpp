// SPDX-License-Identifier: Apache-2.0
#pragma once
// Small readers for JSON objects whose fields may be missing or of a wrong type; every error names the field.

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace umbra::model {

using Json = nlohmann::ordered_json;

/// `json[key]` as T; Kind::invalid where it is missing or no T.
template <class T>
T required(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end()) throw base::Error(base::Kind::invalid, fmt::format("the field \"{}\" is missing", key));
  try {
    return it->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw base::Error(base::Kind::invalid, fmt::format("the field \"{}\" has the wrong type: {}", key, it->dump()));
  }
}

/// The same, but `fallback` where it is missing or null.
template <class T>
T optional_or(const Json& json, const char* key, T fallback) {
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? fallback : required<T>(json, key);
}

template <class T>
std::optional<T> maybe(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return std::nullopt;
  return required<T>(json, key);
}

inline base::Instant required_time(const Json& json, const char* key) {
  const auto text = required<std::string>(json, key);
  const auto time = base::parse_rfc3339(text);
  if (!time) throw base::Error(base::Kind::invalid, fmt::format("the field \"{}\" is no RFC 3339 time: {}", key, text));
  return *time;
}

/// A name that must be one of an enumeration's: `parse` gives nothing for any other.
template <class Parse>
auto required_name(const Json& json, const char* key, Parse parse) {
  const auto text = required<std::string>(json, key);
  const auto value = parse(text);
  if (!value)
    throw base::Error(base::Kind::invalid, fmt::format("the field \"{}\" has an unknown value: {}", key, text));
  return *value;
}

}  // namespace umbra::model
