// SPDX-License-Identifier: Apache-2.0
#include "switchover/walk.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "model/record.hpp"
#include "switchover/estimate.hpp"
#include "switchover/halves.hpp"
#include "switchover/preconditions.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover {

using base::Error;
using base::Kind;
using ports::StepPhase;

Steps live_steps() {
  return {
      // Each of these is taken back where the walk fails.
      .before = {steps::freeze(),   // the old layers can't change any more
                 steps::finish(),   // the shadow holds what they hold
                 steps::prepare(),  // an empty top layer over it
                 steps::move()},    // memory and top layer, live
      // From here on the guest runs on the shadow. What follows is only ever finished.
      .after = {steps::redirect(),  // clients find it
                steps::retire(),    // the old primary is hibernated
                steps::reverse()},  // and is the new shadow
  };
}

Steps lost_host_steps() {
  return {
      .before = {steps::raise(),   // the newest point is read back, a top layer over it
                 steps::fence()},  // the lost host runs nothing any more
      // From here on the shadow is the VM.
      .after = {steps::activate(),  // it runs, with the newest epoch
                steps::redirect(),  // clients find it
                steps::settle()},   // it has no shadow any more
  };
}

Steps steps_of(const std::string& kind) {
  return kind == lost_host_kind ? lost_host_steps() : live_steps();
}

std::vector<model::Phase> phases_of(const Steps& steps) {
  std::vector<model::Phase> phases{{"lease", 0}};
  for (const auto* side : {&steps.before, &steps.after}) {
    for (const Step& step : *side) phases.push_back({std::string(step.name), 0});
  }
  return phases;
}

Walk::Walk(const Ports& ports, ports::Walk row, Request request, std::vector<ports::JournalEntry> entries)
    : m_ports(ports), m_row(std::move(row)), m_request(std::move(request)), m_entries(std::move(entries)) {
  for (const ports::JournalEntry& entry : m_entries) m_facts.learn(entry);
}

void Walk::write(std::string_view step, StepPhase phase, const Json& data) {
  const ports::JournalEntry entry{std::string(step), phase, model::to_text(data), m_ports.clock.now()};
  m_ports.journal.append(m_row.id, entry);
  m_entries.push_back(entry);
  m_facts.learn(entry);
}

std::optional<StepPhase> Walk::phase_of(std::string_view step) const {
  std::optional<StepPhase> phase;
  for (const ports::JournalEntry& entry : m_entries) {
    if (entry.step == step) phase = entry.phase;
  }
  return phase;
}

void Walk::close(const std::string& state) {
  m_ports.journal.close_walk(m_row.id, state);
}

std::vector<model::Phase> Walk::phases() const {
  std::vector<model::Phase> phases;
  std::map<std::string, base::Instant> begun;
  begun["lease"] = m_row.started;
  for (const ports::JournalEntry& entry : m_entries) {
    if (entry.phase == StepPhase::intent) begun[entry.step] = entry.at;
    if (entry.phase != StepPhase::done || !begun.contains(entry.step)) continue;
    const double ms = static_cast<double>((entry.at - begun[entry.step]).count());
    phases.push_back({entry.step, std::max(0.0, ms)});  // the wall clock may have stepped back
  }
  return phases;
}

namespace {

/// What was measured beside what was expected.
void add_costs(model::Outcome& outcome, const Facts& facts) {
  outcome.blackout_ms = facts.blackout_ms;
  outcome.brownout_ms = facts.brownout_ms;
  if (facts.moved_bytes) outcome.sent = facts.sent + *facts.moved_bytes;
  if (facts.estimate) add_estimate(outcome, facts.estimate->cost, facts.estimate->modelled);
}

}  // namespace

void add_estimate(model::Outcome& outcome, const Cost& cost, const Cost& modelled) {
  outcome.blackout_estimate_ms = cost.blackout_ms;
  outcome.blackout_model_ms = modelled.blackout_ms;
  outcome.brownout_estimate_ms = cost.brownout_ms;
  outcome.sent_estimate = cost.bytes;
}

model::Outcome Walk::outcome(const std::string& result) const {
  model::Outcome outcome;
  outcome.result = result;
  add_costs(outcome, m_facts);
  outcome.phases = phases();
  outcome.epoch = m_facts.moved ? m_row.epoch : m_ports.journal.epoch(m_row.uuid);
  outcome.host = m_facts.moved ? m_row.to : m_row.from;
  if (m_facts.moved) outcome.primary = from_lost_host() ? "lost" : "hibernated";
  outcome.lost_s = m_facts.lost_s;
  outcome.notes = m_facts.notes;
  if (m_facts.point.value != 0) {
    outcome.notes.push_back(fmt::format("point {} took over the last delta, {} bytes on the wire", m_facts.point.value,
                                        m_facts.sent.value));
  }
  if (m_facts.moved && !m_facts.quiesced && !from_lost_host()) {
    outcome.notes.push_back(
        "no guest agent froze the file systems for the point's instant; the move itself lost no write");
  }
  return outcome;
}

std::string Walk::where_it_runs() const {
  const model::HostName& host = m_facts.moved ? m_row.to : m_row.from;
  if (m_started_anew) return fmt::format("it had ended on {0} meanwhile and was started there anew", host.get());
  try {
    ports::Hypervisor& hypervisor = m_ports.hypervisors.at(host);
    const auto domain = hypervisor.glance(m_row.vm);
    if (!domain) return fmt::format("it is no longer defined on {}", host.get());
    if (domain->state == model::DomainState::running)
      return fmt::format("it runs on {}{}", host.get(), m_facts.moved ? "" : " as before");
    const bool known = domain->state == model::DomainState::paused || domain->state == model::DomainState::off;
    const char* command = domain->state == model::DomainState::paused ? "resume" : "start";
    return fmt::format("it is {} on {}; {}: {}", to_string(domain->state), host.get(),
                       known ? "to let it go on" : "see what it does",
                       hypervisor.by_hand(known ? command : "domstate --reason", m_row.vm));
  } catch (const Error& e) {
    return fmt::format("it was left on {}, which gives no answer now: {}", host.get(), e.message());
  }
}

namespace {

/// Intent written and synced, act, result written and synced.
void take(Walk& walk, const Step& step) {
  base::with_context(std::string(step.name), [&] {
    walk.write(step.name, StepPhase::intent, step.intend(walk));
    walk.write(step.name, StepPhase::done, step.act(walk));
  });
}

/// What the failure itself asks for comes first.
std::string recover_hint(const Walk& walk, const Error& failure) {
  const std::string recover = "umbra switchover --recover " + base::shell_word(walk.row().vm);
  if (failure.kind() == Kind::unreachable)
    return fmt::format("{0}; where a host is gone for good: {0} --forget HOST", recover);
  if (failure.hint().empty()) return recover;
  return failure.hint().find(recover) != std::string::npos ? failure.hint() : failure.hint() + "; then: " + recover;
}

}  // namespace

Walk open_walk(const Ports& ports, const Request& request, const std::string& kind, const Survey& seen) {
  ports::Walk row;
  row.kind = kind;
  row.vm = request.vm;
  row.uuid = seen.source.uuid;
  row.from = request.from.host;
  row.to = request.to.host;
  row.epoch = seen.proposed;
  row.plan = model::to_text(to_json(request));
  row.state = "open";
  row.started = ports.clock.now();
  try {
    row.id = ports.journal.open_walk(row);
  } catch (const Error&) {
    // It may be there all the same: its epoch was never proposed before. Another that is open is left alone.
    for (const ports::Walk& open : ports.journal.open_walks()) {
      if (open.uuid == row.uuid && open.epoch == row.epoch && open.kind == kind)
        ports.journal.close_walk(open.id, "undone");
    }
    throw;
  }
  return {ports, row, request, {}};
}

std::string start_where_it_ended(Walk& walk) {
  if (walk.from_lost_host()) return {};
  const model::VmName& vm = walk.row().vm;
  try {
    const auto there = walk.target().glance(vm);
    if (!there || there->state != model::DomainState::off) return {};
    const auto here = walk.source().glance(vm);
    if (here && here->state != model::DomainState::off) return {};  // retiring it says so, and stops
    walk.target().start(vm);
    walk.note_started_anew();
    return {};
  } catch (const base::Error& e) {
    return fmt::format("{} had ended on {} and could not be started there: {}", vm.get(), walk.row().to.get(),
                       e.what());
  }
}

namespace {

Json lease_json(const Survey& seen, const Estimate& estimate) {
  DiskPaths disks;
  for (const model::Disk& disk : seen.source.disks) disks[disk.name] = disk.path;
  return {{"frozen", paths_json(disks)}, {"parent", seen.newest.number.value}, {"estimate", estimate_json(estimate)}};
}

/// Whether the guest is on the target, by the journal where that suffices, else by asking both hosts.
bool has_crossed(Walk& walk, const Step& move) {
  if (walk.facts().moved) return true;
  if (!walk.phase_of(move.name)) return false;
  return move.happened(walk);
}

}  // namespace

std::string walk_to_the_line(Walk& walk, const Json& lease, const Steps& steps) {
  try {
    base::with_context("lease", [&] { walk.write("lease", StepPhase::done, lease); });
    for (const Step& step : steps.before) {
      walk.ports().cancel.check();
      take(walk, step);
    }
  } catch (Error& failure) {
    const std::string why = failure.what();
    if (base::with_context(why, [&] { return has_crossed(walk, steps.before.back()); }))
      return start_where_it_ended(walk);
    take_back(walk, steps);
    failure.add_context(fmt::format("{} of {} to {} was taken back, {}", walk.row().kind, walk.row().vm.get(),
                                    walk.row().to.get(), walk.where_it_runs()));
    if (failure.hint().empty())
      failure.set_hint(fmt::format("nothing is left to clean up; when the cause is gone: umbra switchover {}{}",
                                   base::shell_word(walk.row().vm), walk.from_lost_host() ? " --from-point" : ""));
    throw;
  }
  return {};
}

namespace {

/// Before anything of it is undone: a recovery knows by that what the target's state may mean from then on.
void note_not_moved(Walk& walk, const Step& move) {
  if (walk.from_lost_host() || walk.phase_of(move.name) != StepPhase::intent || walk.facts().not_moved) return;
  base::with_context("noting that it has not moved", [&] {
    walk.write(move.name, StepPhase::intent, Json{{"moved", false}});
  });
}

}  // namespace

void take_back(Walk& walk, const Steps& steps) {
  try {
    note_not_moved(walk, steps.before.back());
    for (auto step = steps.before.rbegin(); step != steps.before.rend(); ++step) {
      const auto phase = walk.phase_of(step->name);
      if (!phase || phase == StepPhase::undone) continue;
      base::with_context(fmt::format("taking back {}", step->name), [&] {
        step->undo(walk);
        walk.write(step->name, StepPhase::undone, Json::object());
      });
    }
    base::as_error([&] { walk.close("undone"); });
  } catch (const Error& e) {
    throw Error(Kind::interrupted,
                fmt::format("{} was not moved from {}, but the walk is not wholly taken back: {}", walk.row().vm.get(),
                            walk.row().from.get(), e.what()),
                recover_hint(walk, e));
  }
}

void finish_forward(Walk& walk, const Steps& steps) {
  try {
    base::with_context("noting the move", [&] {
      if (!walk.facts().moved) walk.write(steps.before.back().name, StepPhase::done, Json::object());
      steps::confirm_epoch(walk);
      mend_postcopy(walk);
    });
    for (const Step& step : steps.after) {
      if (walk.phase_of(step.name) != StepPhase::done) take(walk, step);
    }
    base::as_error([&] { walk.close("done"); });
  } catch (const Error& e) {
    throw Error(
        Kind::interrupted,
        fmt::format("{} moved to {}, but the walk did not end: {}", walk.row().vm.get(), walk.row().to.get(), e.what()),
        recover_hint(walk, e));
  }
}

model::Outcome answer_probe(const Walk& walk, model::Outcome outcome, const Steps& steps) {
  if (walk.facts().healthy.value_or(true) || walk.going_back()) return outcome;
  if (walk.from_lost_host()) {
    outcome.notes.push_back("the probe failed; there is no host to go back to");
    return outcome;
  }
  if (!walk.request().policy.roll_back_on_failed_probe) {
    outcome.notes.push_back("the probe failed; the policy says to stay");
    return outcome;
  }
  Request back = walk.request();
  std::swap(back.from, back.to);
  // Whatever it takes: where it is, it does not serve.
  back.policy.blackout_limit.reset();
  back.policy.brownout_limit.reset();
  back.policy.bytes_limit.reset();
  return base::with_context(
      fmt::format("{} runs on {}, its probe failed, and it can't go back", walk.row().vm.get(), walk.row().to.get()),
      [&] {
        model::Outcome returned = walk_through(walk.ports(), back, "rollback", steps);
        returned.notes.insert(returned.notes.begin(), outcome.notes.begin(), outcome.notes.end());
        returned.notes.push_back(fmt::format("rolled back from {} since the probe failed there", walk.row().to.get()));
        return returned;
      });
}

model::Outcome walk_through(const Ports& ports, const Request& request, const std::string& kind, const Steps& steps) {
  const Survey seen = survey(ports, request, kind);
  const Estimate expected = estimate(ports, request, seen);
  check_limits(request, expected);
  require_sound_files(ports, request);
  Walk walk = open_walk(ports, request, kind, seen);
  const std::string not_started = walk_to_the_line(walk, lease_json(seen, expected), steps);
  // From here on the guest runs on the shadow.
  finish_forward(walk, steps);
  model::Outcome outcome = answer_probe(walk, walk.outcome(kind == "rollback" ? "rolled_back" : "switched"), steps);
  if (!not_started.empty()) outcome.notes.push_back(not_started);
  return outcome;
}

}  // namespace umbra::switchover
