// SPDX-License-Identifier: Apache-2.0
#pragma once
// One connection to one host's libvirt, and the event loop that keeps all connections of this process alive.

#include <mutex>
#include <string>
#include <vector>

#include "adapters/virt/handles.hpp"
#include "model/ids.hpp"

namespace umbra::virt {

class Connection {
 public:
  /// Opens `uri`. Kind::unreachable where nothing answers within some seconds.
  Connection(model::HostName host, std::string uri);

  /// Where the connection was closed (a daemon that was restarted, a host that was away) it is opened anew.
  /// Kind::unreachable where nothing answers.
  _virConnect* get() const;
  const model::HostName& host() const { return m_host; }
  const std::string& uri() const { return m_uri; }

  /// Kind::not_found, with the host named, for an unknown VM.
  DomainHandle domain(const model::VmName& vm) const;
  /// Null for an unknown VM.
  DomainHandle find_domain(const model::VmName& vm) const;
  /// "freeze web1 on alpha": what an error of that act begins with.
  std::string act(std::string_view verb, const model::VmName& vm) const;
  /// `virsh -c URI command VM`, as a shell takes it.
  std::string virsh(std::string_view command, const model::VmName& vm) const;

 private:
  model::HostName m_host;
  std::string m_uri;
  mutable std::mutex m_mutex;
  mutable ConnectHandle m_connect;
  mutable std::vector<ConnectHandle> m_closed;  ///< kept: another thread may be in a call of it
};

/// Ask it before the call that may fail: each call of libvirt empties the last error.
std::string name_of(_virDomain* domain);
/// As Connection::virsh().
std::string virsh(_virDomain* domain, std::string_view command);
/// A domain's XML: the live one, or with `inactive` its definition. `flags` are further virDomainXMLFlags.
std::string domain_xml_of(_virDomain* domain, bool inactive, unsigned flags = 0);
bool is_active(_virDomain* domain);

}  // namespace umbra::virt
