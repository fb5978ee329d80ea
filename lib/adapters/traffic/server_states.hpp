// SPDX-License-Identifier: Apache-2.0
#pragma once
// What HAProxy says of a backend's servers (`show servers state`, management guide, section 9.3). Inside this folder
// only.

#include <map>
#include <string>
#include <string_view>

namespace umbra::traffic {

struct ServerState {
  bool up = false;           ///< takes connections, as far as its checks tell
  bool maintenance = false;  ///< by whatever rule
  bool drained = false;
  std::string address;
  std::string port;
  /// "10.1.0.7:80", "[fd00::7]:80"
  std::string place() const;
};

/// By the servers' names; those of other backends are left out. Kind::invalid where it is no such list.
std::map<std::string, ServerState> parse_server_states(std::string_view text, std::string_view backend);

}  // namespace umbra::traffic
