// SPDX-License-Identifier: Apache-2.0
// umbra switchover: the live walk onto the shadow, back, and after a crash.
#include "switchover/switchover.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "cmd/walks.hpp"
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
  std::string forget;
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

/// A decision to stay that came down the pipe is obeyed; a VM named by hand is the operator's decision.
bool told_to_stay(Session& session, const model::Record& record) {
  const bool piped = is_piped(session.common());
  const auto decision = record.decision();
  if (piped && !decision)
    throw base::Error(base::Kind::invalid, "the record has no decision",
                      "pipe it through `umbra decide -` first, or name the VM to switch it over by hand");
  return piped && !decision->migrate;
}

/// A record that was kept, or comes twice, weighs a host that the VM has left since.
void require_newer_than_walks(Session& session, const model::Record& record) {
  const auto forecast = record.forecast();
  if (!forecast || !is_piped(session.common())) return;
  const model::Vm vm = record.vm();
  const std::vector<ports::Walk> walks = session.journal().walks(vm.uuid);
  const auto last = std::ranges::find(walks, "done", &ports::Walk::state);  // newest first
  if (last == walks.end() || last->started <= forecast->made_at) return;
  throw base::Error(base::Kind::refused,
                    fmt::format("the decision is older than the switchover of {} at {}: it was forecast at {}",
                                vm.name.get(), base::to_rfc3339(last->started), base::to_rfc3339(forecast->made_at)),
                    fmt::format("forecast anew: umbra predict {} | umbra place - | umbra decide - | umbra switchover -",
                                base::shell_word(vm.name)));
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

void stay(Session& session, model::Record& record) {
  const model::Vm vm = record.vm();
  model::Outcome stayed;
  stayed.result = "stayed";
  stayed.host = vm.host;
  stayed.epoch = session.journal().epoch(vm.uuid);
  record.set(stayed);
}

/// Of a VM whose shadow is itself but planned, by the same pipeline.
model::Outcome planned_alone(Session& session, const model::Vm& vm) {
  model::Outcome planned;
  planned.result = "planned";
  planned.host = vm.host;
  planned.epoch = session.journal().epoch(vm.uuid).next();
  planned.notes = {
      fmt::format("{}: what a switchover asks of both hosts is asked once it is there", shadow_is_planned)};
  return planned;
}

model::Outcome walk_now(Session& session, const switchover::Ports& ports, const switchover::Request& request,
                        const SwitchoverOptions& options, const model::Record& record) {
  const model::Vm vm = record.vm();
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
  return outcome;
}

void switch_one(Session& session, const SwitchoverOptions& options, model::Record& record) {
  const model::Vm vm = record.vm();
  if (!options.rollback && told_to_stay(session, record)) return stay(session, record);
  if (!options.rollback) require_newer_than_walks(session, record);
  const model::ShadowSection shadow = shadow_of_walk(session, options, record);
  if (only_planned(session, record)) return conclude(session, record, planned_alone(session, vm));
  const switchover::Request request = request_of(session, record, shadow);
  const Hooks hooks(session, vm.name, request.policy);
  const switchover::Ports ports = hooks.ports(session);
  conclude(session, record,
           session.common().dry_run
               ? switchover::plan(ports, request, options.rollback ? "rollback" : "switchover").as_outcome(vm.host)
               : walk_now(session, ports, request, options, record));
  if (options.rollback) return;
  if (auto failure = failure_of_probe(record)) throw base::Error(*failure);
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

void check_options(const SwitchoverOptions& options, const Common& common) {
  using base::Kind;
  if (options.rollback + options.recover + options.decommission + options.from_point > 1)
    throw base::Error(Kind::usage, "--rollback, --recover, --decommission and --from-point exclude each other");
  if (!options.forget.empty() && !options.recover)
    throw base::Error(Kind::usage, "--forget goes with --recover alone", "umbra switchover --recover VM --forget HOST");
  if (options.accept_risk && !options.from_point && options.forget.empty())
    throw base::Error(Kind::usage, "--accept-split-brain-risk goes with --from-point or --forget alone",
                      "a live switchover never takes that risk");
  if (options.force && !options.decommission)
    throw base::Error(Kind::usage, "--force goes with --decommission alone",
                      "a switchover needs no force: what it refuses would lose something");
  if (options.force && common.all)
    throw base::Error(Kind::usage, "--force does not go with --all", "name the VMs whose way back is given up");
}

int run_switchover(Session& session, const SwitchoverOptions& options) {
  check_options(options, session.common());
  if (options.recover) return recover_walks(session, {options.forget, options.accept_risk});
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
      "A host that is gone for good in the middle of a walk would keep that walk open: --recover VM --forget HOST "
      "fences "
      "it, then lets the VM go on where the walk had brought it, or on its old host where the target is gone; where it "
      "may have run there, what it wrote there is lost, and that is told. The VM has no shadow then.\n"
      "What redirects clients (executables, HAProxy, routes) and tells whether they are served (a command, TCP, HTTP) "
      "is "
      "`redirect` and `probe` of [vms] in the configuration; --dry-run lists it. A walk that is taken back since the "
      "probe failed has failed: exit status 1.";
  verb.changes = true;
  verb.options = {
      {"--rollback", "", "back to the host where the VM was before", "", set_flag(options->rollback)},
      {"--recover", "", "finish or take back interrupted walks (all, or of the VMs named)", "",
       set_flag(options->recover)},
      {"--forget", "HOST",
       "with --recover: that host of the walk is gone for good; it is fenced, and the walk ended without it", "",
       set_text(options->forget)},
      {"--decommission", "",
       "remove the old primary and its disks for good; with --all, of VMs whose `after` says so and whose rollback "
       "window is over",
       "", set_flag(options->decommission)},
      {"--from-point", "", "of a VM whose host is lost: activate the newest point of its shadow", "",
       set_flag(options->from_point)},
      {"--accept-split-brain-risk", "", "with --from-point or --forget: without a fence; the VM may then run twice", "",
       set_flag(options->accept_risk)},
      {"--force", "", "with --decommission: also within the rollback window", "", set_flag(options->force)},
  };
  verb.examples = {"umbra decide web1 | umbra switchover -",
                   "umbra switchover web1 --dry-run",
                   "umbra switchover web1 --rollback",
                   "umbra switchover --recover",
                   "umbra switchover --recover web1 --forget alpha",
                   "umbra switchover --all --decommission",
                   "umbra switchover web1 --from-point"};
  verb.run = [options](Session& session) { return run_switchover(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
