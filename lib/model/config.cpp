// SPDX-License-Identifier: Apache-2.0
#include "model/config.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include "base/error.hpp"

namespace umbra::model {

std::string_view to_string(After after) { return after == After::hibernate ? "hibernate" : "decommission"; }

const HostConfig& Config::host(const HostName& name) const {
  std::vector<std::string> known;
  for (const HostConfig& host : hosts) {
    if (host.name == name) return host;
    known.push_back(host.name.get());
  }
  throw base::Error(base::Kind::not_found, fmt::format("no host is named \"{}\" in the configuration", name.get()),
                    known.empty() ? "add a [hosts.NAME] table with its uri"
                                  : fmt::format("the configuration names: {}", fmt::join(known, ", ")));
}

VmPolicy Config::policy(const VmName& vm) const {
  VmPolicy policy;
  for (const VmPattern& pattern : vms) {
    if (fnmatch(pattern.pattern.c_str(), vm.get().c_str(), 0) == 0) policy = pattern.policy;
  }
  return policy;
}

}  // namespace umbra::model
