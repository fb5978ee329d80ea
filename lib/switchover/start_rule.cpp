// SPDX-License-Identifier: Apache-2.0
#include "switchover/start_rule.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"

namespace umbra::switchover {
namespace {

using base::Error;
using base::Kind;
using model::Role;

std::string status_hint(const model::Domain& vm) {
  return fmt::format("umbra status {}", base::shell_word(vm.name));
}

std::optional<Error> newer_or_up(const model::Domain& starting, const Elsewhere& other) {
  const model::Domain& there = *other.domain;
  if (there.uuid != starting.uuid || model::is_rehearsal(there)) return std::nullopt;
  if (there.tag.epoch > starting.tag.epoch)
    return Error(Kind::refused,
                 fmt::format("{} has epoch {} here, but {} knows {}: this is an old copy", starting.name.get(),
                             starting.tag.epoch.value, other.host.get(), there.tag.epoch.value),
                 status_hint(starting));
  const bool comes_from_there = there.tag.role == Role::leaving && there.tag.epoch < starting.tag.epoch;
  if (there.state == model::DomainState::off || comes_from_there) return std::nullopt;
  return Error(Kind::refused,
               fmt::format("{} is {} on {}: it must not run twice", starting.name.get(), to_string(there.state),
                           other.host.get()),
               status_hint(starting));
}

bool knows(const Elsewhere& other, const model::Domain& starting) {
  return other.domain && other.domain->uuid == starting.uuid;
}

/// The shadow's host may run it. Where nothing of it is left there, it may have moved on, to any host.
std::optional<Error> silent_where_it_may_run(const model::Domain& starting, const std::vector<Elsewhere>& others) {
  const model::HostName& peer = starting.tag.peer;
  if (peer.get().empty()) return std::nullopt;
  const auto at_peer = std::ranges::find(others, peer, &Elsewhere::host);
  if (at_peer != others.end() && !at_peer->silence.empty())
    return Error(Kind::refused,
                 fmt::format("{}, where the shadow of {} stands, gives no answer ({}): it may run there", peer.get(),
                             starting.name.get(), at_peer->silence),
                 fmt::format("make it answer; where you are sure that it does not run there: umbra shadow {} --drop "
                             "--forget",
                             base::shell_word(starting.name)));
  if (at_peer != others.end() && knows(*at_peer, starting)) return std::nullopt;
  const auto silent = std::ranges::find_if(others, [](const Elsewhere& other) { return !other.silence.empty(); });
  if (silent == others.end()) return std::nullopt;
  return Error(Kind::refused,
               fmt::format("the shadow of {} is no longer on {}, and {} gives no answer ({}): it may run there",
                           starting.name.get(), peer.get(), silent->host.get(), silent->silence),
               fmt::format("make it answer; where {} is gone for good, take it out of the configuration of this host",
                           silent->host.get()));
}

}  // namespace

std::optional<Error> objection_to_start(const model::Domain& starting, const std::vector<Elsewhere>& others) {
  const std::string vm = starting.name.get();
  const model::RoleTag& tag = starting.tag;
  if (tag.role == Role::none) return std::nullopt;
  if (tag.role == Role::leaving)
    return Error(Kind::refused,
                 fmt::format("{} was leaving for {} when it ended: it may run there by now", vm, tag.peer.get()),
                 fmt::format("umbra switchover --recover {}", base::shell_word(starting.name)));
  if (tag.role == Role::shadow || tag.role == Role::hibernated) {
    model::Domain as_if_up = starting;
    as_if_up.state = model::DomainState::running;
    if (model::is_rehearsal(as_if_up)) return std::nullopt;
    return Error(
        Kind::refused,
        fmt::format("{} is {} of the one on {} (epoch {}): it must not run beside it", vm,
                    tag.role == Role::shadow ? "the shadow" : "the hibernated primary", tag.peer.get(),
                    tag.epoch.value),
        fmt::format("umbra switchover {0} brings it here; a host that is lost: umbra switchover {0} --from-point",
                    base::shell_word(starting.name)));
  }
  for (const Elsewhere& other : others) {
    if (!other.domain) continue;
    if (auto objection = newer_or_up(starting, other)) return objection;
  }
  return silent_where_it_may_run(starting, others);
}

}  // namespace umbra::switchover
