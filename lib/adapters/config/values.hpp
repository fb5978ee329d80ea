// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a value in a file may be: one read() per type of the model, which says what it expected where it got something
// else. Inside this folder only.

#include <toml++/toml.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace umbra::config {

/// A value of the wrong type, unit or range.
struct WrongValue {
  toml::source_region where;
  std::string expected;  ///< "a duration with its unit, such as "30m""
  std::string got;
};

/// The value as a person reads it: a plain text as it is, anything else as TOML, shortened where it is long.
std::string show(const toml::node& node);
/// The same; a plain text in quotes.
std::string show_quoted(const toml::node& node);

bool is_address_with_port(const std::string& text);  ///< HOST:PORT
bool is_probe_url(const std::string& text);          ///< of http or https, without a password

void read(const toml::node& node, std::string& out);  ///< not empty
void read(const toml::node& node, std::vector<std::string>& out);
void read(const toml::node& node, std::vector<model::HostName>& out);
void read(const toml::node& node, std::vector<model::ByteCount>& out);
void read(const toml::node& node, std::map<std::string, std::string>& out);
void read(const toml::node& node, std::map<std::string, double>& out);
void read(const toml::node& node, base::Seconds& out);  ///< more than zero, as the next
void read(const toml::node& node, base::Millis& out);
void read(const toml::node& node, model::ByteCount& out);  ///< more than zero
void read(const toml::node& node, model::ByteRate& out);
void read(const toml::node& node, model::Fraction& out);
void read(const toml::node& node, unsigned& out);  ///< at least 1
void read(const toml::node& node, double& out);    ///< above 0
void read(const toml::node& node, bool& out);
void read(const toml::node& node, model::HostName& out);
void read(const toml::node& node, model::Priority& out);
void read(const toml::node& node, model::After& out);

template <class T>
void read(const toml::node& node, std::optional<T>& out) {
  T value{};
  read(node, value);
  out = std::move(value);
}

void read_count(const toml::node& node, unsigned& out);  ///< 0 is allowed
void read_absolute_path(const toml::node& node, std::string& out);
void read_uri(const toml::node& node, std::string& out);
void read_address(const toml::node& node, std::string& out);  ///< HOST:PORT
void read_http_url(const toml::node& node, std::string& out);
void read_source(const toml::node& node, std::string& out);         ///< of metrics
void read_call_timeout(const toml::node& node, base::Millis& out);  ///< 100ms to 5m
void read_retries(const toml::node& node, unsigned& out);           ///< 0 to 10
void read_http_status(const toml::node& node, unsigned& out);       ///< 100 to 599
void read_socket(const toml::node& node, std::string& out);         ///< an absolute path or HOST:PORT
void read_destination(const toml::node& node, std::string& out);    ///< of a route: ADDRESS or ADDRESS/BITS
void read_others(const toml::node& node, bool& drain);              ///< of HAProxy's servers
void read_probe_url(const toml::node& node, std::string& out);      ///< without a password
/// Each host's value is an IP address, as of a gateway, or one with its port.
void read_gateways(const toml::node& node, std::map<std::string, std::string>& out);
void read_places(const toml::node& node, std::map<std::string, std::string>& out);
void read_on_failed_probe(const toml::node& node, std::optional<bool>& roll_back);

}  // namespace umbra::config
