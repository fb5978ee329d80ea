// SPDX-License-Identifier: Apache-2.0
// The route to a VM's address, by iproute2: replaced, then read back as the kernel has it.
#include <fmt/core.h>

#include "adapters/traffic/command.hpp"
#include "adapters/traffic/parts.hpp"
#include "model/record_json.hpp"

namespace umbra::traffic {
namespace {

using model::Json;
using ports::Failure;
using ports::HookResult;

/// "10.1.0.7" of "10.1.0.7/32".
std::string address_of(const std::string& destination) {
  return destination.substr(0, destination.find('/'));
}

class RouteRedirector final : public ConfiguredRedirector {
 public:
  RouteRedirector(const model::Redirect& redirect, model::RouteChange route)
      : ConfiguredRedirector(redirect), m_route(std::move(route)) {}

  HookResult redirect(const ports::Redirection& to) override {
    const std::string* gateway = nullptr;
    try {
      gateway = &at_host(m_route.via, "via", to.to);
    } catch (const base::Error& error) {
      return {false, error.what(), Failure::hopeless};
    }
    const base::Millis end = base::system_clock().steady() + timeout();
    const auto left = [&] { return std::max(end - base::system_clock().steady(), base::Millis{1}); };
    base::Argv words{"route", "replace", m_route.destination, "via", *gateway};
    add_place(words);
    if (HookResult replaced = call(ip(words), "", left()); !replaced.ok) return replaced;
    try {
      prove(*gateway, left);
      return {true, fmt::format("{} goes via {}", m_route.destination, *gateway)};
    } catch (const base::Error& error) {
      return {false, error.what(), Failure::unsure};
    }
  }

  std::string look() override {
    std::string found;
    for (const auto& [host, gateway] : m_route.via) {
      const Json routes = ask({"route", "get", gateway}, timeout());
      if (routes.empty() || routes[0].contains("gateway"))
        throw base::Error(base::Kind::unreachable,
                          fmt::format("{}, by which {} is reached, is on no network of this machine", gateway, host),
                          fmt::format("correct via.{} of the route to {} in [vms]", host, m_route.destination));
      found += fmt::format("{}{} by {} on {}", found.empty() ? "" : ", ", host, gateway,
                           model::optional_or<std::string>(routes[0], "dev", "?"));
    }
    return found;
  }

 private:
  base::Argv ip(const base::Argv& words) const {
    base::Argv argv = m_route.ip;
    if (m_route.destination.find(':') != std::string::npos) argv.emplace_back("-6");
    argv.insert(argv.end(), words.begin(), words.end());
    return argv;
  }

  void add_place(base::Argv& words) const {
    if (!m_route.dev.empty()) words.insert(words.end(), {"dev", m_route.dev});
    if (!m_route.table.empty()) words.insert(words.end(), {"table", m_route.table});
  }

  /// What `ip -j` answers; Kind::io where it fails, invalid where that is no JSON.
  Json ask(base::Argv words, base::Millis deadline) const {
    words.insert(words.begin(), "-j");
    const base::Argv argv = ip(words);
    require_runnable(argv);
    const Ended ended = run(argv, "", deadline);
    if (ended.timed_out || ended.status != 0)
      throw base::Error(
          base::Kind::io,
          fmt::format("{} {}{}{}", base::to_shell(argv),
                      ended.timed_out ? "did not end in time" : fmt::format("exited with {}", ended.status),
                      ended.err.empty() ? "" : ": ", ended.err.substr(0, ended.err.find('\n'))),
          "run it by hand");
    const Json answer = Json::parse(ended.out, nullptr, false);
    if (!answer.is_array())
      throw base::Error(base::Kind::invalid, base::to_shell(argv) + " gives no list of routes in JSON",
                        "apt-get install iproute2");
    return answer;
  }

  /// The table holds that route, and nothing else goes before it.
  template <class Left>
  void prove(const std::string& gateway, const Left& left) const {
    base::Argv show{"route", "show", "exact", m_route.destination};
    if (!m_route.table.empty()) show.insert(show.end(), {"table", m_route.table});
    expect(ask(show, left()), gateway, base::to_shell(ip(show)));
    if (!m_route.table.empty()) return;  // which packets look there, rules tell
    const base::Argv get{"route", "get", address_of(m_route.destination)};
    expect(ask(get, left()), gateway, base::to_shell(ip(get)));
  }

  static void expect(const Json& routes, const std::string& gateway, const std::string& command) {
    std::string seen = "no route";
    if (!routes.empty()) {
      const std::string via = model::optional_or<std::string>(routes[0], "gateway", "");
      if (via == gateway) return;
      seen = via.empty() ? "a route without a gateway" : "one via " + via;
    }
    throw base::Error(base::Kind::io,
                      fmt::format("the route was replaced, but {} shows {}, not one via {}", command, seen, gateway));
  }

  model::RouteChange m_route;
};

}  // namespace

std::unique_ptr<ports::Redirector> route_redirector(const model::Redirect& redirect, const model::RouteChange& route) {
  return std::make_unique<RouteRedirector>(redirect, route);
}

}  // namespace umbra::traffic
