// SPDX-License-Identifier: Apache-2.0
// redirect and probe of [vms]: values of several forms. A text is the short form of a table; a table's form follows
// from which of a few keys it has.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include "adapters/config/keys.hpp"

namespace umbra::config {
namespace {

using model::HaproxyChange;
using model::HookCommand;
using model::HttpProbe;
using model::ProbeWay;
using model::Redirect;
using model::RouteChange;
using model::TcpProbe;
using model::VmOverrides;

/// The keys of a way, beside those that all ways of redirection share.
template <class Way>
struct RedirectOf {
  Way way;
  base::Millis timeout = Redirect{}.timeout;
  unsigned retries = Redirect{}.retries;
};

template <class Way>
Keys<RedirectOf<Way>> with_shared(const Keys<Way>& own) {
  using Both = RedirectOf<Way>;
  Keys<Both> keys;
  for (const Key<Way>& key : own) keys.push_back(within(&Both::way, key));
  keys.push_back(value("timeout", &Both::timeout, read_call_timeout));
  keys.push_back(value("retries", &Both::retries, read_retries));
  return keys;
}

Keys<HaproxyChange> haproxy_keys() {
  return {value("haproxy", &HaproxyChange::socket, read_socket),
          value("backend", &HaproxyChange::backend),
          value("servers", &HaproxyChange::servers),
          value("server", &HaproxyChange::server),
          value("addresses", &HaproxyChange::addresses, read_places),
          value("others", &HaproxyChange::drain, read_others)};
}

std::string missing(const HaproxyChange& change) {
  if (change.backend.empty()) return "has no backend; add the one that holds the VM's servers: backend = \"web\"";
  const bool one_per_host = !change.servers.empty() && change.server.empty() && change.addresses.empty();
  const bool one_that_moves = change.servers.empty() && !change.server.empty() && !change.addresses.empty();
  if (one_per_host || one_that_moves) return "";
  return "takes either servers = { alpha = \"web-a\", beta = \"web-b\" }, or server and addresses together";
}

Keys<RouteChange> route_keys() {
  return {value("route", &RouteChange::destination, read_destination), value("via", &RouteChange::via, read_gateways),
          value("dev", &RouteChange::dev), value("table", &RouteChange::table), value("ip", &RouteChange::ip)};
}

std::string missing(const RouteChange& route) {
  return route.via.empty() ? "has no via; add each host's gateway: via = { alpha = \"10.0.0.1\", beta = \"10.0.0.2\" }"
                           : "";
}

std::string missing(const HookCommand&) {
  return "";
}

void add_problem(Document& document, const toml::node& node, std::string text) {
  document.problems.push_back({place_of(document, node.source()), std::move(text)});
}

/// Which of the keys that tell forms the table has; a problem, and nothing, where that is not just one.
std::string form_of(Document& document, const std::string& path, const toml::table& table,
                    const std::vector<std::string>& telling) {
  std::vector<std::string> there;
  std::string slip;
  for (const auto& [key, node] : in_file_order(table)) {
    if (std::ranges::find(telling, key->str()) != telling.end()) there.emplace_back(key->str());
    if (slip.empty()) slip = base::did_you_mean(key->str(), telling);
  }
  if (there.size() == 1) return there.front();
  if (there.empty())
    add_problem(document, table, fmt::format("{} has none of {}{}", path, fmt::join(telling, ", "), slip));
  else
    add_problem(document, table, fmt::format("{} has {} at once", path, fmt::join(there, " and ")));
  return "";
}

/// Reads a way's table; nothing where something was wrong with it.
template <class Way>
std::optional<Redirect> read_way(Document& document, const std::string& path, const toml::table& table,
                                 const Keys<Way>& own) {
  const std::size_t before = document.problems.size();
  RedirectOf<Way> both;
  read_table(document, path, table, with_shared(own), both);
  if (document.problems.size() > before) return std::nullopt;
  if (const std::string what = missing(both.way); !what.empty()) {
    add_problem(document, table, fmt::format("{} {}", path, what));
    return std::nullopt;
  }
  return Redirect{std::move(both.way), both.timeout, both.retries};
}

std::optional<Redirect> read_redirect(Document& document, const std::string& path, const toml::node& node) {
  if (const auto* text = node.as_string(); text != nullptr && !text->get().empty())
    return Redirect{HookCommand{text->get()}};
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    add_problem(
        document, node,
        fmt::format("{} must be an executable, such as \"/etc/umbra/redirect.d/dns\", or a table with run, haproxy "
                    "or route, not {}",
                    path, show_quoted(node)));
    return std::nullopt;
  }
  const std::string form = form_of(document, path, *table, {"run", "haproxy", "route"});
  if (form == "haproxy") return read_way(document, path, *table, haproxy_keys());
  if (form == "route") return read_way(document, path, *table, route_keys());
  if (form == "run") return read_way(document, path, *table, Keys<HookCommand>{value("run", &HookCommand::executable)});
  return std::nullopt;
}

/// As value() does once all is well.
void record(Document& document, const std::string& path, const toml::node& node) {
  const Place place = place_of(document, node.source());
  document.places[path] = place;
  record_origin(document.config, path, show(node), fmt::format("{}:{}", document.files.back().string(), place.line));
}

std::optional<ProbeWay> read_probe_text(const std::string& text) {
  constexpr std::string_view tcp = "tcp:";
  if (text.starts_with(tcp) && is_address_with_port(text.substr(tcp.size()))) return TcpProbe{text.substr(tcp.size())};
  if (is_probe_url(text)) return HttpProbe{text, 0, {}};
  return std::nullopt;
}

template <class Way>
void read_probe_table(Document& document, const std::string& path, const toml::table& table, const Keys<Way>& keys,
                      std::optional<ProbeWay>& out) {
  Way way;
  read_table(document, path, table, keys, way);
  out = std::move(way);
}

void read_probe(Document& document, const std::string& path, const toml::node& node, std::optional<ProbeWay>& out) {
  if (const toml::table* table = node.as_table()) {
    const std::string form = form_of(document, path, *table, {"run", "tcp", "http"});
    if (form == "tcp")
      read_probe_table(document, path, *table, Keys<TcpProbe>{value("tcp", &TcpProbe::address, read_address)}, out);
    if (form == "http")
      read_probe_table(document, path, *table,
                       Keys<HttpProbe>{value("http", &HttpProbe::url, read_probe_url),
                                       value("status", &HttpProbe::status, read_http_status),
                                       value("ca", &HttpProbe::ca, read_absolute_path)},
                       out);
    if (form == "run") {
      struct Run {
        base::Argv argv;
      } run;
      read_table(document, path, *table, Keys<Run>{value("run", &Run::argv)}, run);
      out = std::move(run.argv);
    }
    return;
  }
  if (const auto* text = node.as_string()) out = read_probe_text(text->get());
  if (node.is_array()) {
    try {
      base::Argv argv;
      read(node, argv);
      out = std::move(argv);
    } catch (const WrongValue&) {
      out.reset();
    }
  }
  if (!out || !(node.is_string() || node.is_array()))
    add_problem(document, node,
                fmt::format("{} must be a command, such as [\"/usr/local/bin/probe-web\"], \"tcp:10.1.0.7:80\", "
                            "\"http://10.1.0.7/health\" without a password, or a table with run, tcp or http, not {}",
                            path, show_quoted(node)));
}

}  // namespace

Key<VmOverrides> redirect_key() {
  return {"redirect",
          [](Document& document, const std::string& path, const toml::node& node, VmOverrides& target) {
            const toml::array* list = node.as_array();
            if (list == nullptr) {
              add_problem(document, node,
                          fmt::format("{} must be a list of executables and tables, such as "
                                      "[\"/etc/umbra/redirect.d/dns\"], not {}",
                                      path, show_quoted(node)));
              return;
            }
            std::vector<Redirect> redirectors;
            for (std::size_t i = 0; i < list->size(); ++i) {
              auto one = read_redirect(document, fmt::format("{}[{}]", path, i + 1), (*list)[i]);
              if (one) redirectors.push_back(std::move(*one));
            }
            target.redirect = std::move(redirectors);
            record(document, path, node);
          },
          {}};
}

Key<VmOverrides> probe_key() {
  return {"probe",
          [](Document& document, const std::string& path, const toml::node& node, VmOverrides& target) {
            std::optional<ProbeWay> way;
            read_probe(document, path, node, way);
            if (!way) return;
            target.probe = std::move(way);
            record(document, path, node);
          },
          {}};
}

}  // namespace umbra::config
