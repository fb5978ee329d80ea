// SPDX-License-Identifier: Apache-2.0
#pragma once
// What points clients at a VM's new place, and how to look whether it serves them there, as configured. "{vm}" in names
// and addresses stands for the VM's name, so that one entry may do for a pattern of VMs.

#include <map>
#include <string>
#include <variant>

#include "base/clock.hpp"
#include "base/process.hpp"
#include "model/ids.hpp"

namespace umbra::model {

/// An executable of the operator's own.
struct HookCommand {
  std::string executable;
  bool operator==(const HookCommand&) const = default;
};

/// A change over HAProxy's runtime socket: either which of a backend's servers take clients, or where one of them is.
struct HaproxyChange {
  std::string socket;  ///< "/run/haproxy/admin.sock", or "10.0.0.5:9999"
  std::string backend;
  std::map<std::string, std::string> servers;    ///< host -> the server that is used while the VM is there, it alone
  std::string server;                            ///< else: the one server whose address follows the VM
  std::map<std::string, std::string> addresses;  ///< host -> that server's address with its port, while the VM is there
  bool drain = false;                            ///< the servers not in use are drained; else in maintenance
  bool operator==(const HaproxyChange&) const = default;
};

/// The route to the VM's address, by iproute2.
struct RouteChange {
  std::string destination;                 ///< "10.1.0.7/32"
  std::map<std::string, std::string> via;  ///< host -> the gateway while the VM is there
  std::string dev;                         ///< empty: the kernel finds it by the gateway
  std::string table;                       ///< empty: the main one
  base::Argv ip{"ip"};                     ///< starts iproute2's ip where the routes are
  bool operator==(const RouteChange&) const = default;
};

struct Redirect {
  std::variant<HookCommand, HaproxyChange, RouteChange> what;
  base::Millis timeout{10000};  ///< of each attempt
  unsigned retries = 2;         ///< attempts after the first
  /// What messages and the journal call it; of two that change the same thing, the same.
  std::string name() const;
  bool operator==(const Redirect&) const = default;
};

/// Succeeds where the address takes a connection.
struct TcpProbe {
  std::string address;  ///< with its port
  bool operator==(const TcpProbe&) const = default;
};

/// Succeeds where the server answers with `status`, or, where that is 0, with any below 400.
struct HttpProbe {
  std::string url;
  unsigned status = 0;
  std::string ca;  ///< file of certificates; empty: the system's store
  bool operator==(const HttpProbe&) const = default;
};

/// An argv succeeds by exit status 0; an empty one is no probe.
using ProbeWay = std::variant<base::Argv, TcpProbe, HttpProbe>;
bool is_given(const ProbeWay& probe);
std::string name_of(const ProbeWay& probe);

/// With every "{vm}" replaced.
Redirect for_vm(Redirect redirect, const VmName& vm);
ProbeWay for_vm(ProbeWay probe, const VmName& vm);

}  // namespace umbra::model
