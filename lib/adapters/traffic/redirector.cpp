// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "adapters/traffic/parts.hpp"
#include "adapters/traffic/traffic.hpp"

namespace umbra::traffic {

const std::string& at_host(const std::map<std::string, std::string>& per_host, const std::string& key,
                           const model::HostName& host) {
  const auto found = per_host.find(host.get());
  if (found != per_host.end()) return found->second;
  throw base::Error(base::Kind::usage, fmt::format("its {} says nothing for host {}", key, host.get()),
                    fmt::format("add {} to {} in [vms]", host.get(), key));
}

std::unique_ptr<ports::Redirector> redirector(const model::Redirect& redirect, base::Clock& clock) {
  if (const auto* haproxy = std::get_if<model::HaproxyChange>(&redirect.what))
    return haproxy_redirector(redirect, *haproxy, clock);
  if (const auto* route = std::get_if<model::RouteChange>(&redirect.what)) return route_redirector(redirect, *route);
  return hook_redirector(redirect, std::get<model::HookCommand>(redirect.what));
}

}  // namespace umbra::traffic
