// SPDX-License-Identifier: Apache-2.0
// HAProxy over its runtime socket ("stats socket", level admin; management guide, section 9.3): a line is a command,
// what comes until it closes is the answer. Whatever was asked is read back from the servers' states.
#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "adapters/traffic/connection.hpp"
#include "adapters/traffic/parts.hpp"
#include "adapters/traffic/server_states.hpp"
#include "base/text.hpp"

namespace umbra::traffic {
namespace {

using base::Error;
using base::Kind;
using base::Millis;
using ports::Failure;
using ports::HookResult;

/// HAProxy's own names hold nothing else; anything else would be another command.
void require_name(const std::string& name) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
  if (name.empty() || name.find_first_not_of(allowed) != std::string::npos)
    throw Error(Kind::usage, fmt::format("\"{}\" is no name of a backend or server of HAProxy", base::shown(name)),
                "write the name that HAProxy's configuration has");
}

struct Place {
  std::string address;
  std::string port;
};

/// An address as HAProxy writes it; it takes no names.
Place place_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const int family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  std::array<unsigned char, 16> bytes{};
  std::array<char, INET6_ADDRSTRLEN> shown{};
  const bool sound = colon != std::string::npos && ::inet_pton(family, address.c_str(), bytes.data()) == 1 &&
                     ::inet_ntop(family, bytes.data(), shown.data(), shown.size()) != nullptr &&
                     colon + 1 < text.size() && text.find_first_not_of("0123456789", colon + 1) == std::string::npos;
  if (!sound)
    throw Error(Kind::usage, fmt::format("\"{}\" is no IP address with a port", base::shown(text)),
                "write one such as 10.1.0.7:80");
  return {shown.data(), text.substr(colon + 1)};
}

class HaproxyRedirector final : public ConfiguredRedirector {
 public:
  HaproxyRedirector(const model::Redirect& redirect, model::HaproxyChange change, base::Clock& clock)
      : ConfiguredRedirector(redirect), m_change(std::move(change)), m_clock(clock) {}

  HookResult redirect(const ports::Redirection& to) override {
    m_end = m_clock.steady() + timeout();
    m_changing = false;
    try {
      const std::string proof = m_change.server.empty() ? use_server_of(to.to) : move_server_to(to.to);
      return {true, proof};
    } catch (const Error& error) {
      const Failure failure = m_changing                    ? Failure::unsure
                              : error.kind() == Kind::usage ? Failure::hopeless
                                                            : Failure::untouched;
      return {false, error.what(), failure};
    }
  }

  std::string look() override {
    m_end = m_clock.steady() + timeout();
    const std::string level = ask("show cli level");
    if (level.find("admin") == std::string::npos)
      throw Error(Kind::refused, fmt::format("{} has no level admin", m_change.socket),
                  fmt::format("in HAProxy's configuration: stats socket {} level admin", m_change.socket));
    const auto servers = states();
    if (!m_change.server.empty()) {
      for (const auto& [host, address] : m_change.addresses) place_of(address);
      return fmt::format("{}/{} is at {}", m_change.backend, m_change.server, find(servers, m_change.server).place());
    }
    std::string used;
    for (const auto& [host, server] : m_change.servers) {
      const ServerState& state = find(servers, server);
      if (!state.maintenance && !state.drained) used += (used.empty() ? "" : ", ") + server;
    }
    return fmt::format("{} uses {}", m_change.backend, used.empty() ? "none of the hosts' servers" : used);
  }

 private:
  /// The new host's server first, so that there always is one.
  std::string use_server_of(const model::HostName& host) {
    const std::string& used = at_host(m_change.servers, "servers", host);
    find(states(), used);
    m_changing = true;
    set(used, "state ready");
    for (const auto& [other, server] : m_change.servers) {
      if (server != used) set(server, m_change.drain ? "state drain" : "state maint");
    }
    return prove([&](const auto& servers) -> std::string {
      for (const auto& [other, server] : m_change.servers) {
        const ServerState& state = find(servers, server);
        const bool out = m_change.drain ? state.drained : state.maintenance;
        if (server != used && !out) return server + " still takes clients";
      }
      return up(find(servers, used), used);
    });
  }

  std::string move_server_to(const model::HostName& host) {
    const Place place = place_of(at_host(m_change.addresses, "addresses", host));
    find(states(), m_change.server);
    m_changing = true;
    set(m_change.server, fmt::format("addr {} port {}", place.address, place.port));
    return prove([&](const auto& servers) -> std::string {
      const ServerState& state = find(servers, m_change.server);
      if (state.address != place.address || state.port != place.port)
        return fmt::format("{} is at {}", m_change.server, state.place());
      return up(state, m_change.server);
    });
  }

  static std::string up(const ServerState& state, const std::string& server) {
    if (state.maintenance) return server + " is in maintenance";
    if (state.drained) return server + " is drained";
    return state.up ? "" : server + " is held for down by its health check";
  }

  /// Looks until nothing is missing; health checks take their time.
  template <class Missing>
  std::string prove(Missing missing) {
    constexpr Millis between{100};
    std::string lacks;
    const auto left = std::max(m_end - m_clock.steady(), Millis{1});
    const auto is_there = [&] {
      try {
        return (lacks = missing(states())).empty();
      } catch (const Error& error) {
        if (lacks.empty() || error.kind() != Kind::timeout) throw;
        return false;  // the time is up: what was seen last is the reason
      }
    };
    if (base::wait_until(m_clock, left, between, is_there)) return m_change.backend + " is as asked";
    throw Error(Kind::timeout, fmt::format("HAProxy was told, but {}", lacks),
                fmt::format("echo 'show servers state {}' | socat - {}", m_change.backend, m_change.socket));
  }

  const ServerState& find(const std::map<std::string, ServerState>& servers, const std::string& name) const {
    const auto found = servers.find(name);
    if (found != servers.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& server : servers) known.push_back(server.first);
    throw Error(Kind::usage,
                fmt::format("backend {} has no server {}{}", m_change.backend, name, base::did_you_mean(name, known)),
                "write the name that HAProxy's configuration has");
  }

  std::map<std::string, ServerState> states() {
    require_name(m_change.backend);
    const std::string answer = ask("show servers state " + m_change.backend);
    if (answer.find("Can't find backend") != std::string::npos)
      throw Error(Kind::usage, fmt::format("HAProxy at {} has no backend {}", m_change.socket, m_change.backend),
                  "write the name that HAProxy's configuration has");
    return parse_server_states(answer, m_change.backend);
  }

  void set(const std::string& server, const std::string& what) {
    require_name(server);
    const std::string answer = ask(fmt::format("set server {}/{} {}", m_change.backend, server, what));
    if (answer.find("Permission denied") != std::string::npos)
      throw Error(Kind::refused, fmt::format("HAProxy lets nothing be changed over {}", m_change.socket),
                  fmt::format("in its configuration: stats socket {} level admin", m_change.socket));
    // Only an address's change is answered where it went well; what is true is read back.
    if (!what.starts_with("addr") && answer.find_first_not_of(" \n") != std::string::npos)
      throw Error(Kind::io, fmt::format("HAProxy does not take `{}` for {}: {}", what, server, base::shown(answer)));
  }

  std::string ask(const std::string& command) {
    try {
      Connection connection(m_change.socket, std::max(m_end - m_clock.steady(), Millis{1}));
      connection.send(command + "\n");
      return connection.read_to_end();
    } catch (Error& error) {
      error.add_context("HAProxy");
      error.set_hint("see that HAProxy runs, and what its configuration says after `stats socket`");
      throw;
    }
  }

  model::HaproxyChange m_change;
  base::Clock& m_clock;
  Millis m_end{0};          ///< of the call that is under way
  bool m_changing = false;  ///< something was asked for that may have been done
};

}  // namespace

std::unique_ptr<ports::Redirector> haproxy_redirector(const model::Redirect& redirect,
                                                      const model::HaproxyChange& change, base::Clock& clock) {
  return std::make_unique<HaproxyRedirector>(redirect, change, clock);
}

}  // namespace umbra::traffic
