// SPDX-License-Identifier: Apache-2.0
#include "model/domain.hpp"

#include <algorithm>

namespace umbra::model {

std::string_view to_string(DomainState state) {
  switch (state) {
    case DomainState::running:
      return "running";
    case DomainState::paused:
      return "paused";
    case DomainState::off:
      return "off";
    case DomainState::other:
      return "other";
  }
  return "other";
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::none:
      return "none";
    case Role::primary:
      return "primary";
    case Role::shadow:
      return "shadow";
    case Role::hibernated:
      return "hibernated";
    case Role::leaving:
      return "leaving";
  }
  return "none";
}

std::optional<Role> role_from_string(std::string_view text) {
  for (const Role role : {Role::none, Role::primary, Role::shadow, Role::hibernated, Role::leaving}) {
    if (to_string(role) == text) return role;
  }
  return std::nullopt;
}

bool stands_on(const Disk& disk, const std::string& file) {
  return disk.path == file || std::ranges::find(disk.chain, file) != disk.chain.end();
}

bool is_rehearsal(const Domain& domain) {
  const std::string folder = std::string("/top-") + rehearsal_purpose + "/";
  return domain.state != DomainState::off && !domain.disks.empty() &&
         std::ranges::all_of(domain.disks,
                             [&](const Disk& disk) { return disk.path.find(folder) != std::string::npos; });
}

}  // namespace umbra::model
