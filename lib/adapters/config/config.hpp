// SPDX-License-Identifier: Apache-2.0
#pragma once
// The configuration, read from TOML, the environment and the command line into model::Config.
// keys.cpp is the one table of keys; document.cpp reads files against it; load.cpp knows where things are looked for.
// May read files; touches nothing else. The environment is a value, so nothing here depends on the process.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace umbra::config {

struct Options {
  std::optional<std::string> config_file;  ///< --config
  std::optional<std::string> state_dir;    ///< --state
  std::optional<std::string> connect;      ///< --connect: a libvirt URI
};

struct Environment {
  std::map<std::string, std::string> variables;
  bool root = false;
  std::filesystem::path system_config = "/etc/umbra";  ///< holds umbra.toml and conf.d
  std::filesystem::path system_state = "/var/lib/umbra";
  /// Nothing where it is unset or empty.
  std::optional<std::string> get(const std::string& name) const;
};

/// The environment of this process.
Environment process_environment();

/// Files: --config, else UMBRA_CONFIG, else $XDG_CONFIG_HOME/umbra/umbra.toml, else umbra.toml and then conf.d/*.toml
/// in the order of their names under the system's folder, where a later file's keys win; none at all is fine. Hosts:
/// --connect, else UMBRA_CONNECT, stand alone in place of the configured ones (under the configured name where one has
/// that URI); without any, LIBVIRT_DEFAULT_URI, else qemu:///system. State: --state, else UMBRA_STATE, else
/// [state].dir, else the system's folder for root and $XDG_STATE_HOME/umbra for others. Throws Kind::usage with every
/// mistake of every file, one per line as FILE:LINE:COLUMN.
model::Config load(const Options& options, const Environment& environment);

/// The address or name in each host's URI ("10.0.0.1") -> what the configuration calls that host; a local URI has none.
std::map<std::string, model::HostName> hosts_by_address(const model::Config& config);

/// Every key that a file may hold, as "hosts.NAME.uri", in the order of the table.
std::vector<std::string> known_keys();

}  // namespace umbra::config
