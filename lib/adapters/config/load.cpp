// SPDX-License-Identifier: Apache-2.0
// Where things are looked for, in which order, and the defaults.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/config/config.hpp"
#include "adapters/config/defaults.hpp"
#include "adapters/config/document.hpp"
#include "adapters/config/uri.hpp"
#include "base/error.hpp"

extern char** environ;

namespace umbra::config {
namespace {

using base::Error;
using base::Kind;
namespace fs = std::filesystem;

/// A setting of the command line or the environment, and which of them it was.
struct Given {
  std::string value;
  std::string where;
};

std::optional<Given> first_of(const std::optional<std::string>& option, const std::string& flag,
                              const Environment& environment, const std::string& variable) {
  if (option) return Given{*option, flag};
  if (const auto value = environment.get(variable)) return Given{*value, variable};
  return std::nullopt;
}

/// $VARIABLE, else the folder under $HOME that the XDG base directory specification gives; relative ones don't count
/// there.
std::optional<fs::path> xdg_dir(const Environment& environment, const std::string& variable,
                                const fs::path& under_home) {
  if (const auto dir = environment.get(variable); dir && dir->starts_with('/')) return fs::path(*dir);
  if (const auto home = environment.get("HOME")) return fs::path(*home) / under_home;
  return std::nullopt;
}

struct Files {
  std::vector<fs::path> paths;
  std::string why;  ///< origin of the choice
};

std::vector<fs::path> system_files(const Environment& environment) {
  std::vector<fs::path> files;
  if (const fs::path main = environment.system_config / "umbra.toml"; fs::exists(main)) files.push_back(main);
  const fs::path drop_ins = environment.system_config / "conf.d";
  std::vector<fs::path> more;
  if (fs::is_directory(drop_ins)) {
    for (const auto& entry : fs::directory_iterator(drop_ins)) {
      if (entry.path().extension() == ".toml") more.push_back(entry.path());
    }
  }
  std::ranges::sort(more);
  files.insert(files.end(), more.begin(), more.end());
  return files;
}

Files find_files(const Options& options, const Environment& environment) {
  if (const auto named = first_of(options.config_file, "--config", environment, "UMBRA_CONFIG")) {
    if (!fs::is_regular_file(named->value))
      throw Error(Kind::usage,
                  fmt::format("{} names the configuration {}, which is no file", named->where, named->value),
                  "name an existing file, or leave it out to use the default places");
    return {{named->value}, named->where};
  }
  if (const auto dir = xdg_dir(environment, "XDG_CONFIG_HOME", ".config")) {
    if (const fs::path own = *dir / "umbra" / "umbra.toml"; fs::exists(own)) return {{own}, "default"};
  }
  return {system_files(environment), "default"};
}

void choose_hosts(model::Config& config, const Options& options, const Environment& environment) {
  auto given = first_of(options.connect, "--connect", environment, "UMBRA_CONNECT");
  if (!given && !config.hosts.empty()) return;
  if (!given) given = first_of(std::nullopt, "", environment, "LIBVIRT_DEFAULT_URI");
  config.hosts_given = given.has_value();
  if (!given) given = Given{"qemu:///system", "default"};
  if (!is_uri(given->value))
    throw Error(Kind::usage, fmt::format("{} is no libvirt URI: \"{}\"", given->where, given->value),
                "give one such as qemu:///system or qemu+ssh://root@beta/system");
  const auto known = std::ranges::find(config.hosts, given->value, &model::HostConfig::uri);
  const bool configured = known != config.hosts.end();
  model::HostConfig host;
  if (configured)
    host = *known;
  else
    host.name = model::HostName(host_in_uri(given->value).value_or("local"));
  host.uri = given->value;
  config.hosts = {host};
  const std::string own = join_path("hosts", host.name.get()) + ".";
  std::erase_if(config.origins, [&](const model::Origin& origin) {
    return origin.key.starts_with("hosts.") && !(configured && origin.key.starts_with(own));
  });
  record_origin(config, own + "uri", host.uri, given->where);
}

fs::path default_state_dir(const Environment& environment) {
  if (environment.root) return environment.system_state;
  if (const auto dir = xdg_dir(environment, "XDG_STATE_HOME", ".local/state")) return *dir / "umbra";
  throw Error(Kind::usage, "no folder for the state: neither XDG_STATE_HOME nor HOME is set",
              "name one with --state DIR");
}

void choose_state_dir(model::Config& config, const Options& options, const Environment& environment) {
  if (const auto given = first_of(options.state_dir, "--state", environment, "UMBRA_STATE")) {
    if (given->value.empty())
      throw Error(Kind::usage, fmt::format("{} names no folder", given->where), "name one, such as /var/lib/umbra");
    config.state_dir = given->value;
    record_origin(config, "state.dir", given->value, given->where);
  } else if (config.state_dir.empty()) {
    config.state_dir = default_state_dir(environment).string();
  }
}

}  // namespace

std::optional<std::string> Environment::get(const std::string& name) const {
  const auto it = variables.find(name);
  if (it == variables.end() || it->second.empty()) return std::nullopt;
  return it->second;
}

Environment process_environment() {
  Environment environment;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      environment.variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  environment.root = ::geteuid() == 0;
  return environment;
}

model::Config load(const Options& options, const Environment& environment) {
  Document document;
  const Files files = find_files(options, environment);
  std::string names;
  for (const fs::path& file : files.paths) names += (names.empty() ? "" : ", ") + file.string();
  record_origin(document.config, "config", names.empty() ? "none" : names, files.why);
  for (const fs::path& file : files.paths) document.add_file(file);
  document.check();
  document.throw_problems();
  model::Config config = std::move(document.config);
  choose_hosts(config, options, environment);
  choose_state_dir(config, options, environment);
  add_defaults(config);
  return config;
}

std::map<std::string, model::HostName> hosts_by_address(const model::Config& config) {
  std::map<std::string, model::HostName> hosts;
  for (const model::HostConfig& host : config.hosts) {
    if (const auto address = host_in_uri(host.uri)) hosts.emplace(*address, host.name);
  }
  return hosts;
}

}  // namespace umbra::config
