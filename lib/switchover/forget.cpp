// SPDX-License-Identifier: Apache-2.0
// Ending an interrupted walk of which one host is gone for good. That host is fenced first: then what the other one
// says is the whole truth. Either way the VM has no shadow afterwards, and its definition names no peer, so that no
// silence of the one that is gone keeps it from being started.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "switchover/fencing.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;
using model::Role;

std::string command_of(const ForgetRequest& request) {
  return fmt::format("umbra switchover --recover {} --forget {}", base::shell_word(request.vm),
                     base::shell_word(request.host));
}

/// One that answers is not gone: recovery can ask it.
void check_is_gone(const Ports& ports, const ForgetRequest& request) {
  try {
    ports.hypervisors.at(request.host).find(request.vm);
  } catch (const Error& e) {
    if (e.kind() != Kind::unreachable) throw;
    return;
  }
  throw Error(Kind::refused, fmt::format("{} answers: it is not gone", request.host.get()),
              fmt::format("umbra switchover --recover {}", base::shell_word(request.vm)));
}

void check(const Ports& ports, const ForgetRequest& request, const ports::Walk& row) {
  if (request.host != row.from && request.host != row.to)
    throw Error(Kind::invalid,
                fmt::format("the walk of {} leads from {} to {}; {} has no part in it", row.vm.get(), row.from.get(),
                            row.to.get(), request.host.get()),
                fmt::format("umbra switchover --recover {}", base::shell_word(row.vm)));
  check_is_gone(ports, request);
  check_fence(ports, request.host, request.accept_split_brain_risk, command_of(request));
}

/// As after an activation from a point: there is no old home to be retired or reversed.
Steps steps_without_source() {
  Steps steps = live_steps();
  steps.after = {steps::redirect(), steps::settle()};
  return steps;
}

/// Where the source is dead, the target knows alone whether the guest has arrived.
bool has_arrived_there(const Walk& walk, const std::optional<model::Domain>& there) {
  if (!there || there->tag.epoch != walk.row().epoch) return false;
  if (walk.facts().moved || there->state == DomainState::running || there->state == DomainState::off) return true;
  // It stands there: with part of its memory, which has ended with the source; else the migration has yet to fail.
  if (there->postcopy != model::Postcopy::none) return true;
  throw Error(Kind::interrupted,
              fmt::format("{} is {} on {}: whether it has arrived there is not known yet", walk.row().vm.get(),
                          to_string(there->state), walk.row().to.get()),
              fmt::format("wait until the migration has failed there, or: {}; then again",
                          walk.target().by_hand("destroy", walk.row().vm)));
}

void bring_up_on_target(Walk& walk) {
  const model::VmName& vm = walk.row().vm;
  walk.target().set_tag(vm, {Role::primary, {}, walk.row().epoch});
  if (walk.facts().autostart) walk.target().set_autostart(vm, true);
  const auto there = walk.target().find(vm);
  if (there && there->postcopy != model::Postcopy::none) walk.target().destroy(vm);  // its memory is not whole
  const auto now = walk.target().find(vm);
  if (!now || now->state != DomainState::off) return;
  walk.target().start(vm);
  walk.note_started_anew();
}

/// The source is gone. Past the line the walk is finished as that for a lost host is; before it the VM was lost with
/// its host, and a point is what is left.
Recovered finish_without_source(Walk& walk) {
  const ports::Walk& row = walk.row();
  if (!has_arrived_there(walk, walk.target().find(row.vm)))
    throw Error(
        Kind::refused,
        fmt::format("{} had not moved when {} was lost: what is left of it are points", row.vm.get(), row.from.get()),
        fmt::format("umbra switchover {} --from-point", base::shell_word(row.vm)));
  bring_up_on_target(walk);
  finish_forward(walk, steps_without_source());
  Recovered recovered{row.vm, row.uuid, "the guest had moved", "", walk.outcome("recovered")};
  recovered.outcome.primary = "lost";
  recovered.did = fmt::format("the walk of {} to {} was finished without {}, {}", row.vm.get(), row.to.get(),
                              row.from.get(), walk.where_it_runs());
  return recovered;
}

/// A retired definition names the frozen files. The overlays above them hold what was written up to the move, and are
/// there until the last step removes them.
void name_overlays_again(Walk& walk, const model::Domain& here) {
  if (here.tag.role != Role::hibernated || here.state != DomainState::off || walk.facts().overlays.empty()) return;
  const auto store = walk.ports().transport.connect(walk.row().from);
  try {
    for (const auto& [disk, overlay] : walk.facts().overlays) store->chain(overlay);
  } catch (const Error& e) {
    if (e.kind() != Kind::not_found) throw;
    return;
  }
  walk.source().define_shadow(here, {walk.facts().overlays, {}, here.tag});
}

/// What its definition would have to name, as words: "vda=/images/web1.epoch-3.qcow2".
std::string overlays_in_words(const Walk& walk) {
  std::string words;
  for (const auto& [disk, overlay] : walk.facts().overlays)
    words += fmt::format("{}{}={}", words.empty() ? "" : ", ", disk.get(), overlay);
  return words;
}

/// The one on the source is the VM again, with an epoch above all that the lost target may bear.
void give_back_to_source(Walk& walk, bool may_have_run_there) {
  const ports::Walk& row = walk.row();
  auto here = walk.source().find(row.vm);
  if (!here) {
    const std::string overlays = overlays_in_words(walk);
    throw Error(Kind::refused, fmt::format("{} is no longer defined on {}", row.vm.get(), row.from.get()),
                "define it again there" + (overlays.empty() ? "" : ", with the disks " + overlays));
  }
  model::Epoch epoch = std::max(here->tag.epoch, walk.ports().journal.epoch(row.uuid));
  if (may_have_run_there) {
    epoch = row.epoch.next();
    if (walk.ports().journal.epoch(row.uuid) < epoch) walk.ports().journal.raise_epoch(row.uuid, epoch);
    name_overlays_again(walk, *here);
  }
  walk.source().set_tag(row.vm, {Role::none, {}, epoch});
  if (walk.facts().autostart) walk.source().set_autostart(row.vm, true);
  if (may_have_run_there) steps::let_go_on(walk);
  if (walk.phase_of("freeze")) steps::freeze().undo(walk);
}

std::string what_was_lost(const Walk& walk) {
  const ports::Walk& row = walk.row();
  std::string text = fmt::format("where it ran on {}, what it wrote there is lost", row.to.get());
  for (const std::string& name : walk.facts().redirected)
    text += fmt::format("; redirector {} may still point there", name);
  return text;
}

std::string state_on_source(Walk& walk) {
  const ports::Walk& row = walk.row();
  const auto here = walk.source().find(row.vm);
  const DomainState state = here ? here->state : DomainState::off;
  if (state == DomainState::running) return fmt::format("it runs on {}", row.from.get());
  return fmt::format("it is {} on {}; to let it go on: {}", to_string(state), row.from.get(),
                     walk.source().by_hand(state == DomainState::paused ? "resume" : "start", row.vm));
}

/// The target is gone, and with it the shadow: the walk is taken back on the source alone.
Recovered take_back_without_target(Walk& walk, const Steps& steps) {
  const ports::Walk& row = walk.row();
  const bool may_have_run_there = walk.phase_of(steps.before.back().name).has_value();
  base::with_context(fmt::format("taking {} back to {}", row.vm.get(), row.from.get()),
                     [&] { give_back_to_source(walk, may_have_run_there); });
  walk.ports().registry.remove(row.uuid);
  walk.close("undone");
  Recovered recovered{row.vm, row.uuid, may_have_run_there ? "the guest may have moved" : "the guest had not moved", "",
                      walk.outcome("recovered")};
  recovered.did =
      fmt::format("the walk of {} was taken back without {}, {}", row.vm.get(), row.to.get(), state_on_source(walk));
  recovered.outcome.host = row.from;
  recovered.outcome.primary.clear();
  recovered.outcome.epoch = walk.ports().journal.epoch(row.uuid);
  if (may_have_run_there) recovered.outcome.notes.push_back(what_was_lost(walk));
  return recovered;
}

/// The old home is the new shadow already, its files a point: of the VM, that is what is left.
Recovered finish_without_target(Walk& walk) {
  const ports::Walk& row = walk.row();
  Steps steps = live_steps();
  steps.after = {steps::reverse()};
  finish_forward(walk, steps);
  Recovered recovered{row.vm, row.uuid, "the guest had moved", "", walk.outcome("recovered")};
  recovered.did = fmt::format(
      "the walk of {0} to {1} was finished on {2}, where points of it are left: umbra switchover "
      "{3} --from-point",
      row.vm.get(), row.to.get(), row.from.get(), base::shell_word(row.vm));
  return recovered;
}

Recovered end_without_target(Walk& walk) {
  const bool reversed = walk.phase_of("reverse") && steps::is_reversed(walk);
  return reversed ? finish_without_target(walk) : take_back_without_target(walk, steps_of(walk.row().kind));
}

Recovered end_without(const Ports& ports, const ForgetRequest& request, const ports::Walk& row) {
  check(ports, request, row);
  const std::string proof = fenced(ports, request.host, command_of(request));
  Walk walk(ports, row, request_from(row.vm, row.plan), ports.journal.entries(row.id));
  walk.note_dead(request.host);
  if (request.host == row.from && walk.from_lost_host())
    return recover_walk(ports, row, lost_host_steps());  // it was given up already
  Recovered recovered = request.host == row.from ? finish_without_source(walk) : end_without_target(walk);
  recovered.outcome.notes.push_back(fmt::format("{} is forgotten{}; should it come back: umbra status {}",
                                                request.host.get(), proof.empty() ? "" : " (" + proof + ")",
                                                base::shell_word(row.vm)));
  recovered.outcome.notes.push_back(fmt::format("found: {}; did: {}", recovered.found, recovered.did));
  return recovered;
}

std::vector<ports::Walk> open_walks_of(const Ports& ports, const model::VmName& vm) {
  std::vector<ports::Walk> walks = ports.journal.open_walks();
  std::erase_if(walks, [&](const ports::Walk& walk) { return walk.vm != vm; });
  std::ranges::sort(walks, std::greater{}, &ports::Walk::id);
  return walks;
}

}  // namespace

std::vector<Recovered> recover_without(const Ports& ports, const ForgetRequest& request) {
  const auto lease = ports.leases.acquire(request.vm, base::Millis{0});
  std::vector<Recovered> all;
  for (const ports::Walk& row : open_walks_of(ports, request.vm)) {
    // The one before it may have been closed by the one after it.
    if (std::ranges::count(open_walks_of(ports, request.vm), row.id, &ports::Walk::id) == 0) continue;
    all.push_back(end_without(ports, request, row));
  }
  return all;
}

void check_forget(const Ports& ports, const ForgetRequest& request) {
  for (const ports::Walk& row : open_walks_of(ports, request.vm)) check(ports, request, row);
}

}  // namespace umbra::switchover
