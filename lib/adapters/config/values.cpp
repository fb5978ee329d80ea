// SPDX-License-Identifier: Apache-2.0
#include "adapters/config/values.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <limits>
#include <sstream>

#include "adapters/config/document.hpp"
#include "adapters/config/uri.hpp"
#include "base/text.hpp"
#include "model/units.hpp"

namespace umbra::config {
namespace {

/// The value in one line of TOML, as a person would type it.
std::string as_toml(const toml::node& node) {
  if (const auto* text = node.as_string()) return fmt::format("\"{}\"", text->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* array = node.as_array()) {
    std::vector<std::string> elements;
    for (const toml::node& element : *array) elements.push_back(as_toml(element));
    return fmt::format("[{}]", fmt::join(elements, ", "));
  }
  if (const auto* table = node.as_table()) {
    std::vector<std::string> entries;
    for (const auto& [key, value] : *table)
      entries.push_back(fmt::format("{} = {}", join_path("", key.str()), as_toml(value)));
    return fmt::format("{{ {} }}", fmt::join(entries, ", "));
  }
  std::ostringstream out;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_value<decltype(value)>) out << value.get();
  });
  return node.is_boolean() ? (node.as_boolean()->get() ? "true" : "false") : out.str();
}

[[noreturn]] void wrong(const toml::node& node, std::string expected) {
  std::string got = node.is_string() ? fmt::format("\"{}\"", show(node)) : show(node);
  throw WrongValue{node.source(), std::move(expected), std::move(got)};
}

std::string text_of(const toml::node& node, const char* expected) {
  const auto* text = node.as_string();
  if (text == nullptr || text->get().empty()) wrong(node, expected);
  return text->get();
}

/// Reads every element of an array by `each`.
template <class T, class Each>
void read_list(const toml::node& node, std::vector<T>& out, const char* expected, Each each) {
  const toml::array* array = node.as_array();
  if (array == nullptr) wrong(node, expected);
  out.clear();
  for (const toml::node& element : *array) out.push_back(each(element));
}

template <class T, class Each>
void read_map(const toml::node& node, std::map<std::string, T>& out, const char* expected, Each each) {
  const toml::table* table = node.as_table();
  if (table == nullptr) wrong(node, expected);
  for (const auto& [key, value] : *table) out[std::string(key.str())] = each(value);
}

/// One of a few words.
std::string choice(const toml::node& node, const std::vector<std::string>& words) {
  const auto* text = node.as_string();
  for (const std::string& word : words) {
    if (text != nullptr && text->get() == word) return word;
  }
  std::string expected = fmt::format("one of \"{}\"", fmt::join(words, "\", \""));
  if (text != nullptr) {
    if (const auto near = base::nearest(text->get(), words)) expected += fmt::format(" (did you mean \"{}\"?)", *near);
  }
  wrong(node, expected);
}

double duration_of(const toml::node& node, const char* expected) {
  const auto* text = node.as_string();
  const auto duration = text == nullptr ? std::nullopt : base::parse_duration(text->get());
  if (!duration || duration->count() <= 0) wrong(node, expected);
  return duration->count();
}

unsigned whole_number(const toml::node& node, std::int64_t least, const char* expected) {
  const auto* number = node.as_integer();
  if (number == nullptr || number->get() < least || number->get() > std::numeric_limits<int>::max())
    wrong(node, expected);
  return static_cast<unsigned>(number->get());
}

}  // namespace

std::string show(const toml::node& node) {
  constexpr std::size_t longest = 120;
  std::string text = node.is_string() ? node.as_string()->get() : as_toml(node);
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

void read(const toml::node& node, std::string& out) {
  out = text_of(node, "a text that is not empty");
}

void read(const toml::node& node, std::vector<std::string>& out) {
  constexpr auto expected = "a list of texts, such as [\"ssh\", \"beta\"]";
  read_list(node, out, expected, [&](const toml::node& word) { return text_of(word, expected); });
}

void read(const toml::node& node, std::vector<model::HostName>& out) {
  constexpr auto expected = "a list of hosts' names, such as [\"alpha\", \"beta\"]";
  read_list(node, out, expected, [&](const toml::node& name) { return model::HostName(text_of(name, expected)); });
}

void read(const toml::node& node, std::vector<model::ByteCount>& out) {
  read_list(node, out, "a list of sizes, such as [\"20GiB\", \"100GiB\"]", [](const toml::node& element) {
    model::ByteCount size;
    read(element, size);
    return size;
  });
}

void read(const toml::node& node, std::map<std::string, std::string>& out) {
  constexpr auto expected = "a table of names, such as { br0 = \"br1\" }";
  read_map(node, out, expected, [&](const toml::node& name) { return text_of(name, expected); });
}

void read(const toml::node& node, std::map<std::string, double>& out) {
  constexpr auto expected = "a table of numbers that are not negative, such as { cpu_headroom = 2.0 }";
  read_map(node, out, expected, [&](const toml::node& element) {
    const auto number = element.is_number() ? element.value<double>() : std::nullopt;
    if (!number || !(*number >= 0 && *number <= 1e9)) wrong(element, expected);
    return *number;
  });
}

void read(const toml::node& node, base::Seconds& out) {
  out = base::Seconds{duration_of(node, "a duration with its unit, such as \"30m\"")};
}

void read(const toml::node& node, base::Millis& out) {
  constexpr auto expected = "a duration of at least 1ms with its unit, such as \"300ms\"";
  out = base::Millis{static_cast<std::int64_t>(duration_of(node, expected) * 1000 + 0.5)};
  if (out.count() < 1) wrong(node, expected);
}

void read(const toml::node& node, model::ByteCount& out) {
  const auto* text = node.as_string();
  const auto size = text == nullptr ? std::nullopt : model::parse_size(text->get());
  if (!size || size->value == 0) wrong(node, "a size with its unit, such as \"2GiB\"");
  out = *size;
}

void read(const toml::node& node, model::ByteRate& out) {
  const auto* text = node.as_string();
  const auto rate = text == nullptr ? std::nullopt : model::parse_rate(text->get());
  if (!rate) wrong(node, "a rate with its unit, such as \"100MiB/s\" or \"1Gbit/s\"");
  out = *rate;
}

void read(const toml::node& node, model::Fraction& out) {
  const auto number = node.is_number() ? node.value<double>() : std::nullopt;
  if (!number || !(*number >= 0 && *number <= 1)) wrong(node, "a fraction from 0 to 1, such as 0.9");
  out = model::Fraction{*number};
}

void read(const toml::node& node, unsigned& out) {
  out = whole_number(node, 1, "a whole number of at least 1");
}
void read_count(const toml::node& node, unsigned& out) {
  out = whole_number(node, 0, "a whole number, 0 or more");
}

void read(const toml::node& node, double& out) {
  const auto number = node.is_number() ? node.value<double>() : std::nullopt;
  if (!number || !(*number > 0 && *number <= 1e6)) wrong(node, "a number above 0, such as 1.5");
  out = *number;
}

void read(const toml::node& node, model::HostName& out) {
  out = model::HostName(text_of(node, "a host's name"));
}

void read(const toml::node& node, model::Priority& out) {
  out = model::priority_from_string(choice(node, {"critical", "high", "normal", "low"})).value();
}

void read(const toml::node& node, model::After& out) {
  out =
      choice(node, {"hibernate", "decommission"}) == "hibernate" ? model::After::hibernate : model::After::decommission;
}

void read_on_failed_probe(const toml::node& node, std::optional<bool>& roll_back) {
  roll_back = choice(node, {"rollback", "keep"}) == "rollback";
}

void read_source(const toml::node& node, std::string& out) {
  out = choice(node, {"libvirt", "prometheus", "trace"});
}

void read_address(const toml::node& node, std::string& out) {
  constexpr auto expected = "an address with its port, such as \"beta:7900\" or \"[fd00::2]:7900\"";
  out = text_of(node, expected);
  const std::size_t colon = out.rfind(':');
  const bool sound = colon != std::string::npos && colon > 0 && colon + 1 < out.size() &&
                     out.find_first_not_of("0123456789", colon + 1) == std::string::npos &&
                     out.find("//") == std::string::npos;
  if (!sound) wrong(node, expected);
}

void read_http_url(const toml::node& node, std::string& out) {
  constexpr auto expected = "an address, such as \"http://prometheus:9090\"";
  out = text_of(node, expected);
  if (!out.starts_with("http://") && !out.starts_with("https://")) wrong(node, expected);
}

void read_absolute_path(const toml::node& node, std::string& out) {
  constexpr auto expected = "an absolute path, such as \"/var/lib/umbra\"";
  out = text_of(node, expected);
  if (!out.starts_with('/')) wrong(node, expected);
}

void read_uri(const toml::node& node, std::string& out) {
  constexpr auto expected = "a libvirt URI, such as \"qemu+ssh://root@beta/system\"";
  out = text_of(node, expected);
  if (!is_uri(out)) wrong(node, expected);
}

}  // namespace umbra::config
