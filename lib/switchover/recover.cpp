// SPDX-License-Identifier: Apache-2.0
// Recovery: the same list of steps, walked from what the journal and both hosts say.
#include <fmt/core.h>

#include <algorithm>

#include "switchover/halves.hpp"
#include "switchover/request_json.hpp"
#include "switchover/walk.hpp"

namespace umbra::switchover {
namespace {

using ports::StepPhase;

std::string ask(Walk& walk, const Step& step) {
  try {
    return base::as_error([&] { return step.happened(walk); }) ? "it had happened" : "it had not happened";
  } catch (const base::Error& e) {
    return fmt::format("whether it happened could not be asked: {}", e.what());
  }
}

/// The last step that was begun, and how far it came. The move is left out: it is asked on its own.
std::string what_is_found(Walk& walk, const Steps& steps) {
  std::string found = "nothing was begun";
  for (const auto* side : {&steps.before, &steps.after}) {
    for (const Step& step : *side) {
      const auto phase = walk.phase_of(step.name);
      if (!phase) return found;
      if (phase == StepPhase::done) {
        found = fmt::format("{} was done", step.name);
      } else if (phase == StepPhase::undone) {
        return fmt::format("{} was taken back", step.name);
      } else if (&step == &steps.before.back()) {
        return fmt::format("{} was begun", step.name);
      } else {
        return fmt::format("{} was begun, {}", step.name, ask(walk, step));
      }
    }
  }
  return found;
}

/// Asked again also of a move that was taken back: as long as what the guest would run on over there is not, it may
/// have been started there since.
bool has_moved_meanwhile(Walk& walk, const Steps& steps) {
  const Step& move = steps.before.back();
  if (walk.facts().moved) return true;
  if (!walk.phase_of(move.name)) return false;
  const Step& below = steps.before[steps.before.size() - 2];
  return walk.phase_of(below.name) != StepPhase::undone && move.happened(walk);
}

}  // namespace

Recovered recover_walk(const Ports& ports, const ports::Walk& row, const Steps& steps) {
  Walk walk(ports, row, request_from(row.vm, row.plan), ports.journal.entries(row.id));
  Recovered recovered{row.vm, row.uuid, what_is_found(walk, steps), "", {}};
  if (has_moved_meanwhile(walk, steps)) {
    mend_postcopy(walk);
    const std::string not_started = start_where_it_ended(walk);
    finish_forward(walk, steps);
    recovered.did =
        fmt::format("the walk of {} to {} was finished, {}", row.vm.get(), row.to.get(), walk.where_it_runs());
    recovered.outcome = answer_probe(walk, walk.outcome("recovered"), steps);
    if (!not_started.empty()) recovered.outcome.notes.push_back(not_started);
  } else {
    take_back(walk, steps);
    recovered.did = fmt::format("the walk of {} was taken back, {}", row.vm.get(), walk.where_it_runs());
    recovered.outcome = walk.outcome("recovered");
  }
  recovered.outcome.notes.push_back(fmt::format("found: {}; did: {}", recovered.found, recovered.did));
  return recovered;
}

std::vector<Recovered> recover(const Ports& ports, const std::optional<model::VmName>& only) {
  std::vector<Recovered> all;
  // The newest first: a walk for a lost host closes the one that the host's end had interrupted.
  std::vector<ports::Walk> walks = ports.journal.open_walks();
  std::ranges::sort(walks, std::greater{}, &ports::Walk::id);
  for (const ports::Walk& open : walks) {
    if (only && open.vm != *only) continue;
    base::with_context(fmt::format("recovering {}", open.vm.get()), [&] {
      const auto lease = ports.leases.acquire(open.vm, base::Millis{0});
      // Another run may have ended it between the listing and the lease.
      const auto still = ports.journal.open_walks();
      if (std::none_of(still.begin(), still.end(), [&](const ports::Walk& walk) { return walk.id == open.id; })) return;
      all.push_back(recover_walk(ports, open, steps_of(open.kind)));
    });
  }
  return all;
}

}  // namespace umbra::switchover
