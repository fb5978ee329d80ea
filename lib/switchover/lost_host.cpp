// SPDX-License-Identifier: Apache-2.0
// The walk for a VM whose host is lost: its newest point is activated, once the host is fenced.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "switchover/fencing.hpp"
#include "switchover/preconditions.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

using base::Error;
using base::Kind;

/// A walk that the host's end has interrupted is superseded, unless its guest may be on the target already.
void check_open_walk(const Ports& ports, const Request& request, const std::optional<model::Domain>& target) {
  for (const ports::Walk& walk : ports.journal.open_walks()) {
    if (walk.vm != request.vm) continue;
    const bool arrived = target && target->tag.epoch == walk.epoch;
    if (walk.kind != lost_host_kind && walk.to == request.to.host && !arrived) continue;
    throw Error(Kind::interrupted,
                fmt::format("a {} of {} to {} was interrupted", walk.kind, request.vm.get(), walk.to.get()),
                "umbra switchover --recover " + base::shell_word(request.vm));
  }
}

Survey survey_lost(const Ports& ports, const Request& request) {
  ports::check_hosts_differ(request.vm, request.from.host, request.to.host);
  Survey seen;
  const auto row = ports.registry.find(request.vm);
  if (!row)
    throw Error(Kind::not_found, fmt::format("{} has no shadow", request.vm.get()),
                fmt::format("umbra status {}", base::shell_word(request.vm)));
  seen.target = check_target(ports, request, row->vm_uuid);
  check_open_walk(ports, request, seen.target);
  if (!seen.target)
    throw Error(Kind::not_found,
                fmt::format("no shadow of {} is defined on {}", request.vm.get(), request.to.host.get()),
                fmt::format("umbra status {}", base::shell_word(request.vm)));
  check_source_is_lost(ports, request);
  check_fence(ports, request.from.host, request.accept_split_brain_risk,
              fmt::format("umbra switchover {} --from-point", base::shell_word(request.vm)));
  seen.source = *seen.target;  // what is known of the VM
  seen.shadow = check_shadow(ports, request, seen.target->uuid);
  seen.newest = newest_point(request, *ports.transport.connect(request.to.host));
  check_target_can_hold(ports, request, *seen.target);
  seen.proposed = next_epoch(ports, seen);
  return seen;
}

std::string what_is_lost(const model::PointInfo& point, base::Instant now) {
  return fmt::format("point {} of {} is the newest{}: what was written in the {} since is lost", point.number.value,
                     base::to_rfc3339(point.taken_at), point.has_memory() ? ", with memory" : "",
                     base::to_human(base::Seconds(std::chrono::floor<std::chrono::seconds>(now - point.taken_at))));
}

}  // namespace

model::Outcome plan_from_point(const Ports& ports, const Request& request) {
  const Survey seen = survey_lost(ports, request);
  model::Outcome outcome;
  outcome.result = "planned";
  outcome.phases = phases_of(lost_host_steps());
  outcome.primary = "lost";
  outcome.epoch = seen.proposed;
  outcome.host = request.from.host;
  const base::Instant now = ports.clock.now();
  outcome.lost_s = std::max(0.0, base::Seconds(now - seen.newest.taken_at).count());
  outcome.notes.push_back(what_is_lost(seen.newest, now));
  outcome.notes.push_back(ports.fence != nullptr
                              ? fmt::format("{} is fenced before it is started", request.from.host.get())
                              : "no fence is configured; the risk of two is accepted");
  return outcome;
}

model::Outcome from_point(const Ports& ports, const Request& request) {
  const auto lease = ports.leases.acquire(request.vm, base::Millis{0});
  const Survey seen = survey_lost(ports, request);
  const std::string lost = what_is_lost(seen.newest, ports.clock.now());
  Walk walk = open_walk(ports, request, std::string(lost_host_kind), seen);
  walk_to_the_line(walk, {{"parent", seen.newest.number.value}}, lost_host_steps());
  // From here on the shadow is the VM.
  finish_forward(walk, lost_host_steps());
  model::Outcome outcome = answer_probe(walk, walk.outcome("activated"), lost_host_steps());
  outcome.notes.insert(outcome.notes.begin(), lost);
  return outcome;
}

}  // namespace umbra::switchover
