// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the files said: the values so far, where each came from, and every mistake. Inside this folder only.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace umbra::config {

struct Place {
  std::size_t file = 0;  ///< index into Document::files
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  auto operator<=>(const Place&) const = default;
};

struct Problem {
  Place place;
  std::string text;
};

struct Document {
  model::Config config;
  std::vector<std::filesystem::path> files;
  std::map<std::string, Place> places;  ///< of every table (its first) and value (its last), by its dotted path
  std::vector<Problem> problems;

  /// Reads a file over what is there already: its keys win.
  void add_file(const std::filesystem::path& file);
  /// What can be known only once all files are read: required keys, names that must exist.
  void check();
  /// Kind::usage with every problem, where there is one.
  void throw_problems();
};

/// `parent`.`key`, the key quoted where TOML needs it.
std::string join_path(const std::string& parent, std::string_view key);

/// Records where a value came from; a later record of the same key replaces the earlier.
void record_origin(model::Config& config, const std::string& key, std::string value, std::string where);

}  // namespace umbra::config
