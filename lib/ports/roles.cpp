// SPDX-License-Identifier: Apache-2.0
#include "ports/roles.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace umbra::ports {

using base::Error;
using base::Kind;
using model::Role;

void require_primary(const Hypervisor& hypervisor, const model::Domain& domain) {
  const std::string where = fmt::format("{} on {}", domain.name.get(), hypervisor.host().get());
  const std::string name = base::shell_word(domain.name);
  switch (domain.tag.role) {
    case Role::none:
    case Role::primary:
      return;
    case Role::shadow:
    case Role::hibernated:
      throw Error(Kind::refused,
                  fmt::format("{} is no primary but {} of the one on {}: it may be an old copy", where,
                              model::to_string(domain.tag.role), domain.tag.peer.get()),
                  fmt::format("see where the VM runs: umbra status {}", name));
    case Role::leaving:
      throw Error(Kind::refused,
                  fmt::format("{} is leaving for {}: a switchover is under way, or was interrupted", where,
                              domain.tag.peer.get()),
                  fmt::format("umbra switchover --recover {0}; where its journal is lost, and it does not run on {1}: "
                              "umbra shadow {0} --drop --forget",
                              name, domain.tag.peer.get()));
  }
}

void require_shadow_is_off(Hypervisors& hypervisors, const model::HostName& shadow_host, const model::Domain& primary) {
  std::optional<model::Domain> there;
  try {
    there = hypervisors.at(shadow_host).find(primary.name);
  } catch (const Error& e) {
    if (e.kind() != Kind::unreachable) throw;
    return;
  }
  if (!there || there->uuid != primary.uuid || there->state == model::DomainState::off || model::is_rehearsal(*there))
    return;
  throw Error(Kind::refused,
              fmt::format("{} is {} on {}, where its shadow is: nothing is copied onto a VM that is up",
                          primary.name.get(), model::to_string(there->state), shadow_host.get()),
              fmt::format("umbra status {}; never let both run", base::shell_word(primary.name)));
}

}  // namespace umbra::ports
