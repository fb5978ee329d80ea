// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a line of the table of keys can be: a value, a group, a section, a table of named elements; and the walk of a
// file against such lines. Inside this folder only.

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "adapters/config/document.hpp"
#include "adapters/config/values.hpp"
#include "base/text.hpp"

namespace umbra::config {

/// One key of a table whose values go into a T.
template <class T>
struct Key {
  std::string name;
  /// Reads the node at `path` into `target`; what is wrong with it becomes a problem of the document.
  std::function<void(Document&, const std::string& path, const toml::node& node, T& target)> read;
  std::vector<std::string> below;  ///< the keys below it; empty for a value
};

template <class T>
using Keys = std::vector<Key<T>>;

/// What directs clients, and how it is seen whether they are served: a list, and a value, of several forms.
Key<model::VmOverrides> redirect_key();
Key<model::VmOverrides> probe_key();

/// Reads a whole file's table.
void read_root(Document& document, const toml::table& table);

/// toml++ sorts by key; what the user wrote first is read, and reported, first.
inline std::vector<std::pair<const toml::key*, const toml::node*>> in_file_order(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> entries;
  for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
  std::ranges::stable_sort(entries, [](const auto& a, const auto& b) {
    const auto& x = a.first->source().begin;
    const auto& y = b.first->source().begin;
    return std::pair(x.line, x.column) < std::pair(y.line, y.column);
  });
  return entries;
}

inline Place place_of(const Document& document, const toml::source_region& region) {
  return {document.files.size() - 1, region.begin.line, region.begin.column};
}

template <class T>
std::vector<std::string> names_in(const Keys<T>& keys, const std::string& prefix) {
  std::vector<std::string> names;
  for (const Key<T>& key : keys) {
    if (key.below.empty()) names.push_back(prefix + key.name);
    for (const std::string& below : key.below) names.push_back(prefix + key.name + "." + below);
  }
  return names;
}

/// Reads what is in `table` by `keys`; what is in no key is a problem that names the nearest.
template <class T>
void read_table(Document& document, const std::string& path, const toml::table& table, const Keys<T>& keys, T& target) {
  for (const auto& [name, node] : in_file_order(table)) {
    const auto key = std::ranges::find(keys, name->str(), &Key<T>::name);
    if (key != keys.end()) {
      key->read(document, join_path(path, name->str()), *node, target);
      continue;
    }
    std::vector<std::string> known;
    for (const Key<T>& k : keys) known.push_back(k.name);
    const std::string where = path.empty() ? "" : fmt::format(" in [{}]", path);
    document.problems.push_back(
        {place_of(document, name->source()),
         fmt::format("unknown key \"{}\"{}{}", name->str(), where, base::did_you_mean(name->str(), known))});
  }
}

/// A value that `read_value` puts into a member.
template <class T, class Member>
Key<T> value(std::string name, Member T::*member,
             std::type_identity_t<void (*)(const toml::node&, Member&)> read_value) {
  return {std::move(name),
          [=](Document& document, const std::string& path, const toml::node& node, T& target) {
            try {
              read_value(node, target.*member);
            } catch (const WrongValue& e) {
              document.problems.push_back(
                  {place_of(document, e.where), fmt::format("{} must be {}, not {}", path, e.expected, e.got)});
              return;
            }
            const Place place = place_of(document, node.source());
            document.places[path] = place;
            record_origin(document.config, path, show(node),
                          fmt::format("{}:{}", document.files.back().string(), place.line));
          },
          {}};
}

template <class T, class Member>
Key<T> value(std::string name, Member T::*member) {
  return value<T, Member>(std::move(name), member, [](const toml::node& node, Member& out) { read(node, out); });
}

template <class T>
void read_group(Document& document, const std::string& path, const toml::node& node, const Keys<T>& keys, T& target) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    document.problems.push_back(
        {place_of(document, node.source()), fmt::format("{} must be a table, not {}", path, show(node))});
    return;
  }
  read_table(document, path, *table, keys, target);
}

/// A table whose keys go into the same target.
template <class T>
Key<T> group(std::string name, Keys<T> keys) {
  auto names = names_in(keys, "");
  return {std::move(name),
          [keys = std::move(keys)](Document& document, const std::string& path, const toml::node& node, T& target) {
            read_group(document, path, node, keys, target);
          },
          std::move(names)};
}

/// A table whose keys go into a member.
template <class T, class Member>
Key<T> section(std::string name, Member T::*member, Keys<Member> keys) {
  auto names = names_in(keys, "");
  return {std::move(name),
          [=, keys = std::move(keys)](Document& document, const std::string& path, const toml::node& node, T& target) {
            read_group(document, path, node, keys, target.*member);
          },
          std::move(names)};
}

/// A key whose value goes into a member's member.
template <class T, class Member>
Key<T> within(Member T::*member, Key<Member> key) {
  std::string name = key.name;
  return {std::move(name),
          [=, key = std::move(key)](Document& document, const std::string& path, const toml::node& node, T& target) {
            key.read(document, path, node, target.*member);
          },
          {}};
}

/// A table of tables under names of the user's choice; `at` finds or makes what such a name stands for.
template <class Element, class At>
Key<model::Config> named(std::string name, const std::string& placeholder, Keys<Element> keys, At at) {
  auto names = names_in(keys, placeholder + ".");
  return {std::move(name),
          [=, keys = std::move(keys)](Document& document, const std::string& path, const toml::node& node,
                                      model::Config& config) {
            const toml::table* table = node.as_table();
            if (table == nullptr) {
              document.problems.push_back({place_of(document, node.source()),
                                           fmt::format("{0} must be tables, such as [{0}.{1}]", path, placeholder)});
              return;
            }
            for (const auto& [key, element] : in_file_order(*table)) {
              const std::string element_path = join_path(path, key->str());
              document.places.try_emplace(element_path, place_of(document, key->source()));
              read_group(document, element_path, *element, keys, at(config, std::string(key->str())));
            }
          },
          std::move(names)};
}

}  // namespace umbra::config
