// SPDX-License-Identifier: Apache-2.0
#include "adapters/config/document.hpp"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>

#include "adapters/config/keys.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"

namespace umbra::config {

std::string join_path(const std::string& parent, std::string_view key) {
  constexpr std::string_view bare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  std::string name(key);
  if (key.empty() || key.find_first_not_of(bare) != std::string_view::npos) {
    name = "\"";
    for (const char c : key) {
      if (c == '"' || c == '\\') name += '\\';
      name += c;
    }
    name += '"';
  }
  return parent.empty() ? name : parent + "." + name;
}

void record_origin(model::Config& config, const std::string& key, std::string value, std::string where) {
  const auto known = std::ranges::find(config.origins, key, &model::Origin::key);
  model::Origin& origin = known != config.origins.end() ? *known : config.origins.emplace_back();
  origin = {key, std::move(value), std::move(where)};
}

void Document::add_file(const std::filesystem::path& file) {
  files.push_back(file);
  const std::string text = base::read_text_file(file, 4u << 20);
  try {
    const toml::table table = toml::parse(text, file.string());
    read_root(*this, table);
  } catch (const toml::parse_error& e) {
    const auto at = e.source().begin;
    problems.push_back({{files.size() - 1, at.line, at.column}, fmt::format("no valid TOML: {}", e.description())});
  }
}

void Document::throw_problems() {
  if (problems.empty()) return;
  std::ranges::stable_sort(problems, {}, &Problem::place);
  std::string message;
  for (const Problem& problem : problems) {
    if (!message.empty()) message += '\n';
    message += fmt::format("{}:{}:{}: {}", files[problem.place.file].string(), problem.place.line, problem.place.column,
                           problem.text);
  }
  throw base::Error(base::Kind::usage, std::move(message), "correct the configuration, then run the command again");
}

}  // namespace umbra::config
