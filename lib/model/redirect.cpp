// SPDX-License-Identifier: Apache-2.0
#include "model/redirect.hpp"

#include <fmt/core.h>

namespace umbra::model {
namespace {

/// A visitor made of one function per alternative.
template <class... Each>
struct Cases : Each... {
  using Each::operator()...;
};
template <class... Each>
Cases(Each...) -> Cases<Each...>;

constexpr std::string_view placeholder = "{vm}";

/// What is put in is not looked at again.
void fill_in(std::string& text, const VmName& vm) {
  for (std::size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos; at += vm.get().size())
    text.replace(at, placeholder.size(), vm.get());
}

void fill_in(std::map<std::string, std::string>& per_host, const VmName& vm) {
  for (auto& entry : per_host) fill_in(entry.second, vm);
}

}  // namespace

std::string Redirect::name() const {
  return std::visit(Cases{[](const HookCommand& hook) { return hook.executable; },
                          [](const HaproxyChange& change) {
                            const std::string place = fmt::format("haproxy {} {}", change.socket, change.backend);
                            return change.server.empty() ? place : place + "/" + change.server;
                          },
                          [](const RouteChange& route) {
                            const std::string table = route.table.empty() ? "" : " table " + route.table;
                            return fmt::format("route {}{}", route.destination, table);
                          }},
                    what);
}

bool is_given(const ProbeWay& probe) {
  const auto* command = std::get_if<base::Argv>(&probe);
  return command == nullptr || !command->empty();
}

std::string name_of(const ProbeWay& probe) {
  return std::visit(
      Cases{[](const base::Argv& command) { return base::to_shell(command); },
            [](const TcpProbe& tcp) { return "tcp:" + tcp.address; }, [](const HttpProbe& http) { return http.url; }},
      probe);
}

Redirect for_vm(Redirect redirect, const VmName& vm) {
  std::visit(Cases{[](HookCommand&) {},  // it gets the record
                   [&](HaproxyChange& change) {
                     for (std::string* text : {&change.backend, &change.server}) fill_in(*text, vm);
                     for (auto* per_host : {&change.servers, &change.addresses}) fill_in(*per_host, vm);
                   },
                   [](RouteChange&) {}},  // addresses alone
             redirect.what);
  return redirect;
}

ProbeWay for_vm(ProbeWay probe, const VmName& vm) {
  std::visit(Cases{[&](base::Argv& command) {
                     for (std::string& word : command) fill_in(word, vm);
                   },
                   [&](TcpProbe& tcp) { fill_in(tcp.address, vm); }, [&](HttpProbe& http) { fill_in(http.url, vm); }},
             probe);
  return probe;
}

}  // namespace umbra::model
