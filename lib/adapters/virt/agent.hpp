// SPDX-License-Identifier: Apache-2.0
#pragma once
// The guest agent: file systems held still for an instant, and what runs inside.

#include <optional>
#include <string>
#include <string_view>

#include "adapters/virt/handles.hpp"
#include "model/sections.hpp"

namespace umbra::virt {

/// A guest's file systems frozen through its agent, thawed at the latest when this goes out of scope. Where the agent
/// can't, nothing is frozen and nothing fails: the caller records that.
class FrozenFileSystems {
 public:
  FrozenFileSystems(_virDomain* domain, bool agent_connected);
  ~FrozenFileSystems();
  FrozenFileSystems(const FrozenFileSystems&) = delete;
  FrozenFileSystems& operator=(const FrozenFileSystems&) = delete;

  bool worked() const { return m_worked; }
  void thaw();

 private:
  _virDomain* m_domain;
  bool m_worked = false;
  bool m_frozen = false;
};

/// Whether the agent answers and offers all of these commands.
bool agent_offers(_virDomain* domain, std::initializer_list<std::string_view> commands);

/// The lines "pid started open_files name" of the script that lists processes; others are passed over.
model::GuestActivity parse_activity(std::string_view listing);
/// Base64 (RFC 4648); Kind::invalid for other text.
std::string decode_base64(std::string_view text);

}  // namespace umbra::virt
