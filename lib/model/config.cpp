// SPDX-License-Identifier: Apache-2.0
#include "model/config.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>

#include "base/error.hpp"
#include "model/units.hpp"

namespace umbra::model {

std::string_view to_string(After after) {
  return after == After::hibernate ? "hibernate" : "decommission";
}

void VmOverrides::apply_to(VmPolicy& policy) const {
  const auto set = [](auto& to, const auto& from) {
    if (from) to = *from;
  };
  set(policy.priority, priority);
  set(policy.window, window);
  set(policy.rpo, rpo);
  for (const auto& [resource, threshold] : saturation) policy.saturation[resource] = threshold;
  set(policy.redirect, redirect);
  set(policy.probe, probe);
  set(policy.probe_deadline, probe_deadline);
  set(policy.roll_back_on_failed_probe, roll_back_on_failed_probe);
  set(policy.after, after);
  set(policy.rollback_window, rollback_window);
  set(policy.retain, retain);
  if (retain_for) policy.retain_for = retain_for;
  set(policy.downtime_limit, downtime_limit);
  if (blackout_limit) policy.blackout_limit = blackout_limit;
  if (brownout_limit) policy.brownout_limit = brownout_limit;
  if (bytes_limit) policy.bytes_limit = bytes_limit;
  set(policy.auto_converge, auto_converge);
  set(policy.postcopy, postcopy);
  set(policy.quiesce, quiesce);
  set(policy.bandwidth, bandwidth);
  set(policy.candidates, candidates);
}

bool VmPattern::matches(const VmName& vm) const {
  return fnmatch(pattern.c_str(), vm.get().c_str(), 0) == 0;
}

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
    if (pattern.matches(vm)) pattern.overrides.apply_to(policy);
  }
  return policy;
}

ByteRate Config::rate_between(const HostConfig& a, const HostConfig& b, const VmPolicy& policy) const {
  const ByteRate link = std::min(a.link.value_or(usual_link), b.link.value_or(usual_link));
  return policy.bandwidth ? std::min(link, *policy.bandwidth) : link;
}

}  // namespace umbra::model
