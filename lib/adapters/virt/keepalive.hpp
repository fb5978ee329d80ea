// SPDX-License-Identifier: Apache-2.0
#pragma once
// How soon libvirt's daemons on this host give up a connection that has fallen silent. In the last instant of a move,
// between QEMU's last byte and the target's answer that it has taken over, nothing else ends the wait.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace umbra::virt {

struct Keepalive {
  int interval_s = 5;  ///< libvirt's own defaults
  int count = 5;
  bool operator==(const Keepalive&) const = default;
  /// When a silent peer is given up; never where none is asked.
  std::optional<base::Seconds> gives_up_after() const;
};

/// What a file of libvirt's configuration sets.
Keepalive keepalive_in(std::string_view text);

struct KeepaliveFile {
  std::string name;
  std::optional<Keepalive> set;  ///< absent: it can't be read
  std::string why_not;
};

/// Of the QEMU driver, which asks when a VM leaves this host, and of the daemon that asks when one comes: libvirtd, or
/// virtqemud with the proxy before it. One that is not there sets nothing.
std::vector<KeepaliveFile> keepalive_files(const std::filesystem::path& etc = "/etc/libvirt",
                                           const std::filesystem::path& run = "/run/libvirt");

}  // namespace umbra::virt
