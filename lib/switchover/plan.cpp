// SPDX-License-Identifier: Apache-2.0
// What a walk would do and cost.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "model/units.hpp"
#include "switchover/estimate.hpp"
#include "switchover/preconditions.hpp"
#include "switchover/steps/steps.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

/// Definitions, layers, journal: what a walk takes apart from sending.
constexpr base::Seconds fixed{3};

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
  add_estimate(outcome, cost, modelled);
  outcome.phases = phases_of(live_steps());
  outcome.primary = "hibernated";
  outcome.epoch = epoch;
  outcome.host = running_on;
  outcome.notes = notes;
  outcome.notes.push_back(fmt::format(
      "about {} to send, {} in all, of which the guest is slowed for {} and stands for {}", model::to_human(cost.bytes),
      base::to_human(base::Seconds(seconds)), base::to_human(base::Seconds(std::round(cost.brownout_ms / 100) / 10)),
      base::to_human(base::Seconds(std::round(cost.blackout_ms) / 1000))));
  return outcome;
}

Plan plan(const Ports& ports, const Request& request, const std::string& kind) {
  const Survey seen = survey(ports, request, kind);
  const Estimate expected = estimate(ports, request, seen);
  check_limits(request, expected);
  require_sound_files(ports, request);
  Plan plan{seen.proposed, seen.newest.number, expected.cost, expected.modelled, 0, expected.notes};
  plan.seconds = std::round(fixed.count() + static_cast<double>(expected.delta.value) / request.rate.value +
                            (expected.cost.brownout_ms + expected.cost.blackout_ms) / 1000);
  plan.notes.push_back(calls_text(ports, request, seen.source.uuid, kind == "rollback"));
  return plan;
}

}  // namespace umbra::switchover
