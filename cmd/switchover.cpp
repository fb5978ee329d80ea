// SPDX-License-Identifier: Apache-2.0
// umbra switchover: the live walk onto the shadow, back, and after a crash.
#include "switchover/switchover.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "model/units.hpp"
#include "ports/delta.hpp"

namespace umbra::cmd {
namespace {

struct SwitchoverOptions {
  bool rollback = false;
  bool recover = false;
  bool decommission = false;
  bool force = false;
  bool from_point = false;
  bool accept_risk = false;
};

const RecordTable& switchover_table() {
  static const RecordTable table{
      {"VM", "RESULT", "RUNS ON", "BLACKOUT", "BROWNOUT", "SENT", "EPOCH", "OLD PRIMARY", "PHASES"},
      [](const model::Record& record) -> std::vector<Cell> {
        const model::Vm vm = record.vm();
        const auto o = record.outcome();
        if (!o) return {vm.name.get(), Cell("-", Tone::faint), vm.host.get(), "-", "-", "-", "-", "no trigger"};
        const bool planned = o->result == "planned";
        std::string phases;
        for (const model::Phase& phase : o->phases) {
          phases += (phases.empty() ? "" : ", ") + phase.name;
          if (!planned) phases += fmt::format(" {:.0f}", phase.ms);
        }
        // What was measured, and, after "of", what was expected.
        const auto beside = [](const auto& measured, const auto& expected, const auto& text) {
          const std::string first = measured ? text(*measured) : std::string("-");
          return expected ? first + " of " + text(*expected) : first;
        };
        const auto ms = [](double v) { return fmt::format("{:.0f} ms", v); };
        const auto bytes = [](model::ByteCount v) { return model::to_human(v); };
        return {vm.name.get(),
                Cell(o->result, o->result == "switched" ? Tone::good : Tone::plain),
                o->host.get(),
                beside(o->blackout_ms, o->blackout_estimate_ms, ms),
                beside(o->brownout_ms, o->brownout_estimate_ms, ms),
                beside(o->sent, o->sent_estimate, bytes),
                std::to_string(o->epoch.value),
                o->primary.empty() ? "-" : o->primary,
                phases.empty() ? "-" : phases + (planned ? "" : " ms")};
      }};
  return table;
}

/// The hooks and the probe of one VM, alive as long as its walk.
struct Hooks {
  std::vector<std::unique_ptr<ports::Redirector>> redirectors;
  std::unique_ptr<ports::Probe> probe;
  std::unique_ptr<ports::Fence> fence;

  Hooks(Session& session, const model::VmName& vm, const model::VmPolicy& policy)
      : redirectors(session.redirectors(vm, policy)), probe(session.probe(vm, policy)), fence(session.fence()) {}

  switchover::Ports ports(Session& session) const {
    switchover::Ports ports{session.hypervisors(), session.transport(), session.journal(), session.shadows(),
                            session.leases(),      session.clock(),     session.cancel(),  {},
                            probe.get(),           fence.get()};
    for (const auto& redirector : redirectors) ports.redirectors.push_back(redirector.get());
    return ports;
  }
};

switchover::Request request_of(Session& session, const model::Record& record, const model::ShadowSection& shadow) {
  const model::Vm vm = record.vm();
  const model::Config& config = session.config();
  return {vm.name,
          switchover::side_of(config.host(vm.host)),
          switchover::side_of(config.host(shadow.host)),
          shadow.id,
          config.policy(vm.name),
          config.rate_between(config.host(vm.host), config.host(shadow.host), config.policy(vm.name)),
          record.to_line()};
}

/// Sets the outcome and what follows from it in the other sections.
void conclude(Session& session, model::Record& record, const model::Outcome& outcome) {
  for (const std::string& note : outcome.notes)
    base::log(base::Level::info, fmt::format("switchover: {}: {}", record.vm().name.get(), note));
  record.set(outcome);
  if (outcome.result == "planned") return;
  remember(session, record, "outcome");
  if (!outcome.host.get().empty()) {
    model::Vm vm = record.vm();
    vm.host = outcome.host;
    record.set(vm);
  }
}

/// A decision to stay that came down the pipe is obeyed; a VM named by hand is the operator's decision.
bool told_to_stay(Session& session, const model::Record& record) {
  const bool piped = is_piped(session.common());
  const auto decision = record.decision();
  if (piped && !decision)
    throw base::Error(base::Kind::invalid, "the record has no decision",
                      "pipe it through `umbra decide -` first, or name the VM to switch it over by hand");
  return piped && !decision->migrate;
}

/// Whether the way back was given up by the last thing that a switchover did with the VM.
bool is_decommissioned(Session& session, const model::Vm& vm) {
  const auto last = session.ledger().last_section(vm.uuid, "outcome");
  return last && model::Json::parse(*last).value("primary", "") == "decommissioned";
}

/// Without a shadow there is no walk, which is a refusal.
model::ShadowSection shadow_of_walk(Session& session, const SwitchoverOptions& options, const model::Record& record) {
  const model::Vm vm = record.vm();
  if (record.shadow() || shadow_row_of(session, vm)) return need_shadow(session, record);
  if (options.rollback && is_decommissioned(session, vm))
    throw base::Error(base::Kind::refused,
                      fmt::format("the old primary of {} was decommissioned: there is no way back", vm.name.get()),
                      "a new shadow is a way to another host: " + ports::make_first(vm.name));
  throw base::Error(base::Kind::refused, fmt::format("{} has no shadow", vm.name.get()), ports::make_first(vm.name));
}

void switch_one(Session& session, const SwitchoverOptions& options, model::Record& record) {
  const model::Vm vm = record.vm();
  if (!options.rollback && told_to_stay(session, record)) {
    model::Outcome stayed;
    stayed.result = "stayed";
    stayed.host = vm.host;
    stayed.epoch = session.journal().epoch(vm.uuid);
    record.set(stayed);
    return;
  }
  const model::ShadowSection shadow = shadow_of_walk(session, options, record);
  if (only_planned(session, record)) {
    model::Outcome planned;
    planned.result = "planned";
    planned.host = vm.host;
    planned.epoch = session.journal().epoch(vm.uuid).next();
    planned.notes = {
        fmt::format("{}: what a switchover asks of both hosts is asked once it is there", shadow_is_planned)};
    conclude(session, record, planned);
    return;
  }
  const switchover::Request request = request_of(session, record, shadow);
  const Hooks hooks(session, vm.name, request.policy);
  const switchover::Ports ports = hooks.ports(session);
  if (session.common().dry_run) {
    conclude(session, record,
             switchover::plan(ports, request, options.rollback ? "rollback" : "switchover").as_outcome(vm.host));
    return;
  }
  {
    const auto lease = take_lease(session, vm.name);
    clear_leftovers(session, vm);
  }
  model::Outcome outcome =
      options.rollback ? switchover::roll_back(ports, request) : switchover::switch_over(ports, request);
  // Deciding learns from what its own estimate was worth.
  if (const auto decided = decided_blackout_ms(session, record)) outcome.blackout_model_ms = decided;
  if (request.policy.after == model::After::decommission && outcome.primary == "hibernated")
    outcome.notes.push_back(
        fmt::format("the old primary on {0} is kept for {1} as the way back; then it may go: umbra switchover {2} "
                    "--decommission, or --all",
                    vm.host.get(), base::to_human(request.policy.rollback_window), base::shell_word(vm.name)));
  conclude(session, record, outcome);
}

void decommission_one(Session& session, const SwitchoverOptions& options, model::Record& record) {
  const model::Vm vm = record.vm();
  const bool of_all = session.common().all;
  const model::VmPolicy policy = session.config().policy(vm.name);
  if (of_all && (policy.after != model::After::decommission || !shadow_row_of(session, vm))) return;
  if (!record.shadow() && !shadow_row_of(session, vm))
    throw base::Error(base::Kind::not_found,
                      fmt::format("{} has no old primary: no shadow of it is on record", vm.name.get()),
                      fmt::format("umbra status {}", base::shell_word(vm.name)));
  const model::ShadowSection shadow = need_shadow(session, record);
  const Hooks hooks(session, vm.name, policy);
  const switchover::DecommissionRequest request{vm.name, shadow.host, shadow.id, policy.rollback_window, options.force};
  if (of_all && !switchover::is_decommission_due(hooks.ports(session), request)) return;
  if (session.common().dry_run) {
    switchover::check_decommission(hooks.ports(session), request);
    base::log(base::Level::info, fmt::format("switchover: {}: would remove the old primary on {} with its disks",
                                             vm.name.get(), shadow.host.get()));
    return;
  }
  conclude(session, record, switchover::decommission(hooks.ports(session), request));
}

/// The record of a VM whose host gives no answer, from the store alone.
model::Record record_of_lost(Session& session, const model::VmName& vm) {
  const auto row = session.shadows().find(vm);
  if (!row)
    throw base::Error(base::Kind::not_found, fmt::format("no shadow of {} is on record", vm.get()),
                      "umbra status shows what stands where");
  model::Record record(model::Vm{vm, row->vm_uuid, row->primary_host, session.config().policy(vm).priority});
  record.set(model::ShadowSection{row->id, row->host, row->level, row->from_pool});
  return record;
}

void activate_one(Session& session, const SwitchoverOptions& options, model::Record& record) {
  switchover::Request request = request_of(session, record, *record.shadow());
  request.accept_split_brain_risk = options.accept_risk;
  const Hooks hooks(session, request.vm, request.policy);
  const switchover::Ports ports = hooks.ports(session);
  if (session.common().dry_run) return conclude(session, record, switchover::plan_from_point(ports, request));
  conclude(session, record, switchover::from_point(ports, request));
}

/// The VMs are named: their host gives no answer, so that nothing can be looked up there.
int activate_from_points(Session& session, const SwitchoverOptions& options) {
  const Common& common = session.common();
  if (common.all || common.operands.empty() || is_piped(common))
    throw base::Error(base::Kind::usage, "--from-point takes the names of the VMs whose host is lost",
                      "umbra status shows which have a shadow, and how old its newest point is");
  std::vector<base::Kind> failures;
  std::size_t done = 0;
  for (const std::string& name : common.operands) {
    const model::VmName vm(name);
    model::Vm named;
    named.name = vm;
    model::Record record(named);
    try {
      record = record_of_lost(session, vm);
      activate_one(session, options, record);
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "switchover", name);
      record.set(model::RecordError{error.kind(), "switchover", error.what(), error.hint()});
      failures.push_back(error.kind());
    }
    session.out().record(record);
  }
  session.out().finish(switchover_table());
  return status_of(failures, done);
}

/// Every open walk, or those of the VMs named; each with its own hooks.
int recover_walks(Session& session) {
  const auto& names = session.common().operands;
  std::set<model::VmName> open;
  if (is_piped(session.common()))
    throw base::Error(base::Kind::usage, "--recover reads no records",
                      "name the VMs, or none for all that are interrupted");
  for (const ports::Walk& walk : session.journal().open_walks()) {
    if (names.empty() || std::find(names.begin(), names.end(), walk.vm.get()) != names.end()) open.insert(walk.vm);
  }
  std::vector<base::Kind> failures;
  std::size_t done = 0;
  for (const std::string& name : names) {
    if (open.contains(model::VmName(name))) continue;
    try {
      locate(session, model::VmName(name));  // a name that nobody bears is an error; one without a walk is in order
      base::log(base::Level::info, fmt::format("switchover: {}: no walk is open, nothing to recover", name));
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "switchover", name);
      failures.push_back(error.kind());
    }
  }
  for (const model::VmName& vm : open) {
    if (session.common().dry_run) {
      base::log(base::Level::info,
                fmt::format("switchover: {}: would ask both hosts and finish or take back its walk", vm.get()));
      ++done;
      continue;
    }
    try {
      const Hooks hooks(session, vm, session.config().policy(vm));
      for (const switchover::Recovered& one : switchover::recover(hooks.ports(session), vm)) {
        base::log(base::Level::info, fmt::format("switchover: {}: found {}; {}", one.vm.get(), one.found, one.did));
        model::Record record = record_of(session, locate(session, one.vm));
        conclude(session, record, one.outcome);
        session.out().record(record);
      }
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "switchover", vm.get());
      failures.push_back(error.kind());
    }
  }
  if (open.empty() && names.empty()) base::log(base::Level::info, "switchover: no walk is open, nothing to recover");
  session.out().finish(switchover_table());
  return status_of(failures, done);
}

int run_switchover(Session& session, const SwitchoverOptions& options) {
  if (options.rollback + options.recover + options.decommission + options.from_point > 1)
    throw base::Error(base::Kind::usage, "--rollback, --recover, --decommission and --from-point exclude each other");
  if (options.accept_risk && !options.from_point)
    throw base::Error(base::Kind::usage, "--accept-split-brain-risk goes with --from-point alone",
                      "a live switchover never takes that risk");
  if (options.force && !options.decommission)
    throw base::Error(base::Kind::usage, "--force goes with --decommission alone",
                      "a switchover needs no force: what it refuses would lose something");
  if (options.force && session.common().all)
    throw base::Error(base::Kind::usage, "--force does not go with --all", "name the VMs whose way back is given up");
  if (options.recover) return recover_walks(session);
  if (options.from_point) return activate_from_points(session, options);
  return for_each_vm(session, "switchover", switchover_table(), [&](model::Record& record) {
    options.decommission ? decommission_one(session, options, record) : switch_one(session, options, record);
  });
}

}  // namespace

Verb switchover_verb() {
  auto options = std::make_shared<SwitchoverOptions>();
  Verb verb;
  verb.name = "switchover";
  verb.summary = "Move a running VM onto its shadow, or back";
  verb.text =
      "The live walk: freeze the disks' layers, send the last delta, check it, move the running guest, redirect its "
      "clients, and turn\n"
      "the old primary into the new shadow, so that the way back stays open. Every step is in a journal; after a crash "
      "of\n"
      "anything, --recover finishes or takes back what was under way. From a pipe only VMs whose decision says so are "
      "moved;\n"
      "a VM named by hand is moved without one.\n"
      "Where the VM's host is lost, --from-point activates the newest point of its shadow, with its memory where it "
      "has "
      "some, once the configured fence has made sure that the host runs nothing any more; --dry-run tells how much "
      "that "
      "loses.\n"
      "What redirects clients (executables, HAProxy, routes) and tells whether they are served (a command, TCP, HTTP) "
      "is "
      "`redirect` and `probe` of [vms] in the configuration; --dry-run lists it.";
  verb.changes = true;
  verb.options = {
      {"--rollback", "", "back to the host where the VM was before", "", set_flag(options->rollback)},
      {"--recover", "", "finish or take back interrupted walks (all, or of the VMs named)", "",
       set_flag(options->recover)},
      {"--decommission", "",
       "remove the old primary and its disks for good; with --all, of VMs whose `after` says so and whose rollback "
       "window is over",
       "", set_flag(options->decommission)},
      {"--from-point", "", "of a VM whose host is lost: activate the newest point of its shadow", "",
       set_flag(options->from_point)},
      {"--accept-split-brain-risk", "", "with --from-point: without a fence; the VM may then run twice", "",
       set_flag(options->accept_risk)},
      {"--force", "", "with --decommission: also within the rollback window", "", set_flag(options->force)},
  };
  verb.examples = {"umbra decide web1 | umbra switchover -", "umbra switchover web1 --dry-run",
                   "umbra switchover web1 --rollback",       "umbra switchover --recover",
                   "umbra switchover --all --decommission",  "umbra switchover web1 --from-point"};
  verb.run = [options](Session& session) { return run_switchover(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
