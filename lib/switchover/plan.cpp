// SPDX-License-Identifier: Apache-2.0
// What a walk would do and cost. Measurements of this VM's earlier walks are used where there are any.
#include <fmt/core.h>

#include <algorithm>

#include "model/units.hpp"
#include "switchover/preconditions.hpp"
#include "switchover/steps/steps.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

/// Definitions, layers, journal: what a walk takes apart from sending.
constexpr double fixed_seconds = 3;

/// The blackout that the newest walk of the VM measured.
std::optional<double> measured_blackout(const Ports& ports, const model::Uuid& uuid) {
  for (const ports::Walk& walk : ports.journal.walks(uuid)) {
    Facts facts;
    for (const ports::JournalEntry& entry : ports.journal.entries(walk.id)) facts.learn(entry);
    if (facts.blackout_ms) return facts.blackout_ms;
  }
  return std::nullopt;
}

/// Which redirectors would be called, and what answers for the VM's health then.
std::string calls_text(const Ports& ports, const Request& request, const model::Uuid& vm, bool going_back) {
  const steps::Calls calls = steps::calls_of(ports, vm, going_back, std::nullopt);
  std::string text =
      calls.undo ? "redirection would be undone: the L2 announcement" : "would redirect: the L2 announcement";
  for (const ports::Redirector* redirector : calls.redirectors) text += ", then " + redirector->name();
  if (ports.probe == nullptr) return text + "; no health probe is configured";
  const bool back = request.policy.roll_back_on_failed_probe && !going_back;
  return text + fmt::format("; then the health probe {} for up to {}, and {} where it fails", ports.probe->name(),
                            base::to_human(request.policy.probe_deadline), back ? "back again" : "staying");
}

}  // namespace

model::Outcome Plan::as_outcome(const model::HostName& running_on) const {
  model::Outcome outcome;
  outcome.result = "planned";
  outcome.blackout_estimate_ms = blackout_ms;
  outcome.phases = phases_of(live_steps());
  outcome.primary = "hibernated";
  outcome.epoch = epoch;
  outcome.host = running_on;
  outcome.notes = notes;
  outcome.notes.push_back(
      fmt::format("about {} MiB to send, {} in all", bytes.value >> 20, base::to_human(base::Seconds(seconds))));
  return outcome;
}

Plan plan(const Ports& ports, const Request& request, const std::string& kind) {
  const Survey seen = survey(ports, request, kind);
  Plan plan;
  plan.epoch = seen.proposed;
  plan.newest = seen.newest.number;
  plan.bytes = seen.source.memory;
  if (seen.shadow.replica && seen.shadow.replica->method == "bitmap" && !seen.newest.has_memory()) {
    plan.bytes += seen.shadow.replica->dirty;
    plan.notes.push_back("the delta is taken to be as large as that of the last pass");
  } else if (seen.shadow.replica) {
    plan.notes.push_back("the last pass was no incremental one of disks alone: the delta is not in the estimate");
  } else {
    plan.notes.push_back("no pass of this shadow is on record: the delta is not in the estimate");
  }
  double rate = model::usual_link.value;
  if (request.policy.bandwidth) {
    rate = request.policy.bandwidth->value;
  } else {
    plan.notes.push_back("no `bandwidth` is configured: 1 Gbit/s is assumed");
  }
  // Memory that changes while it is sent is sent again, and so on: a geometric row.
  const double dirty = ports.hypervisors.at(request.from.host).dirty_rate(request.vm).value_or(model::ByteRate{}).value;
  if (dirty >= rate) {
    plan.notes.push_back(
        fmt::format("the guest changes memory at {:.0f} MiB/s, {:.0f} get through: it may not converge",
                    dirty / (1 << 20), rate / (1 << 20)));
  }
  const double passes = 1 / (1 - std::min(dirty / rate, 0.9));
  plan.seconds = fixed_seconds + static_cast<double>(plan.bytes.value) / rate * passes;
  if (const auto measured = measured_blackout(ports, seen.source.uuid)) {
    plan.blackout_ms = *measured;
    plan.notes.push_back("the blackout is that of the last walk");
  } else {
    plan.blackout_ms = static_cast<double>(request.policy.downtime_limit.count());
    plan.notes.push_back("no walk of this VM was measured yet: the blackout is the allowed one");
  }
  plan.notes.push_back(calls_text(ports, request, seen.source.uuid, kind == "rollback"));
  return plan;
}

}  // namespace umbra::switchover
