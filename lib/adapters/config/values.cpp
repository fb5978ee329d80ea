// SPDX-License-Identifier: Apache-2.0
#include "adapters/config/values.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>
#include <limits>
#include <sstream>

#include "adapters/config/document.hpp"
#include "adapters/config/uri.hpp"
#include "base/address.hpp"
#include "base/error.hpp"
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
  throw WrongValue{node.source(), std::move(expected), show_quoted(node)};
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

/// 32 or 128; 0 where it is no IP address.
int bits_of_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return 32;
  return ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1 ? 128 : 0;
}

}  // namespace

std::string show(const toml::node& node) {
  constexpr std::size_t longest = 120;
  std::string text = node.is_string() ? node.as_string()->get() : as_toml(node);
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  return text;
}

std::string show_quoted(const toml::node& node) {
  return node.is_string() ? fmt::format("\"{}\"", show(node)) : show(node);
}

bool is_address_with_port(const std::string& text) {
  if (text.find("//") != std::string::npos) return false;
  try {
    return !base::parse_address(text).host.empty();
  } catch (const base::Error&) {
    return false;
  }
}

bool is_probe_url(const std::string& text) {
  return (text.starts_with("http://") || text.starts_with("https://")) && base::without_credentials(text) == text;
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

void read(const toml::node& node, bool& out) {
  const auto given = node.is_boolean() ? node.value<bool>() : std::nullopt;
  if (!given) wrong(node, "true or false");
  out = *given;
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
  if (!is_address_with_port(out)) wrong(node, expected);
}

void read_socket(const toml::node& node, std::string& out) {
  constexpr auto expected = "the path of a socket or an address with its port, such as \"/run/haproxy/admin.sock\"";
  out = text_of(node, expected);
  if (!out.starts_with('/') && !is_address_with_port(out)) wrong(node, expected);
}

void read_destination(const toml::node& node, std::string& out) {
  constexpr auto expected = "an IP address or network, such as \"10.1.0.7/32\"";
  out = text_of(node, expected);
  const std::size_t slash = out.find('/');
  const int bits = bits_of_address(out.substr(0, slash));
  if (bits == 0) wrong(node, expected);
  if (slash == std::string::npos) return;
  const std::string prefix = out.substr(slash + 1);
  const bool number =
      !prefix.empty() && prefix.size() <= 3 && prefix.find_first_not_of("0123456789") == std::string::npos;
  if (!number || std::stoi(prefix) > bits) wrong(node, expected);
}

void read_gateways(const toml::node& node, std::map<std::string, std::string>& out) {
  constexpr auto expected = "a table of each host's IP address, such as { alpha = \"10.0.0.1\", beta = \"10.0.0.2\" }";
  read_map(node, out, expected, [&](const toml::node& element) {
    std::string address = text_of(element, expected);
    if (bits_of_address(address) == 0) wrong(element, expected);
    return address;
  });
}

void read_places(const toml::node& node, std::map<std::string, std::string>& out) {
  constexpr auto expected =
      "a table of the server's address at each host, such as { alpha = \"10.1.0.7:80\", beta = \"10.2.0.7:80\" }";
  read_map(node, out, expected, [&](const toml::node& element) {
    std::string place = text_of(element, expected);
    if (!is_address_with_port(place)) wrong(element, expected);
    return place;
  });
}

void read_others(const toml::node& node, bool& drain) {
  drain = choice(node, {"maint", "drain"}) == "drain";
}

void read_call_timeout(const toml::node& node, base::Millis& out) {
  constexpr auto expected = "a duration from 100ms to 5m, such as \"10s\"";
  out = base::Millis{static_cast<std::int64_t>(duration_of(node, expected) * 1000 + 0.5)};
  if (out < base::Millis{100} || out > base::Millis{300'000}) wrong(node, expected);
}

void read_retries(const toml::node& node, unsigned& out) {
  constexpr auto expected = "a whole number from 0 to 10";
  out = whole_number(node, 0, expected);
  if (out > 10) wrong(node, expected);
}

void read_http_status(const toml::node& node, unsigned& out) {
  constexpr auto expected = "a status of HTTP, such as 204";
  out = whole_number(node, 100, expected);
  if (out > 599) wrong(node, expected);
}

void read_probe_url(const toml::node& node, std::string& out) {
  constexpr auto expected = "an address without a password, such as \"http://10.1.0.7/health\"";
  out = text_of(node, expected);
  if (!is_probe_url(out)) wrong(node, expected);
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
