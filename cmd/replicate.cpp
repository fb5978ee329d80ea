// SPDX-License-Identifier: Apache-2.0
// umbra replicate: the next restore point of a VM's disks.
#include "replicate/due.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/features.hpp"
#include "cmd/plans.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/sources.hpp"
#include "cmd/stream_vm.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

struct ReplicateOptions {
  bool due = false;
  std::optional<base::Seconds> wait;
  Limits limits;
  SourceOptions source;
  bool resume = false;
  bool anew = false;
  /// Of --all --due: the VMs that are off, as they were found. Absent: each is asked for.
  std::optional<std::map<model::VmName, model::Domain>> off;
};

/// The VM's domain where it is off; null where it is not.
std::optional<model::Domain> domain_if_off(Session& session, const ReplicateOptions& options, const model::Vm& vm) {
  if (options.off) {
    const auto it = options.off->find(vm.name);
    return it == options.off->end() ? std::nullopt : std::optional(it->second);
  }
  model::Domain domain = primary_of(session, vm);
  return domain.state == model::DomainState::off ? std::optional(std::move(domain)) : std::nullopt;
}

/// Whether no pass is due; the record tells the newest point then, and why.
bool is_not_due(Session& session, const ReplicateOptions& options, const replicate::PassRequest& request,
                model::Record& record) {
  if (!options.due || !request.last) return false;
  const auto off = domain_if_off(session, options, record.vm());
  const replicate::DueNow now = replicate::due_now(context_of(session), request, off ? &*off : nullptr);
  if (now.due) return false;
  model::Replica last = replica_by_now(session, *request.last);
  if (!now.why_not.empty()) last.due_reason = now.why_not;
  record.set(last);
  return true;
}

std::vector<std::string> formats() {
  return {"raw", "qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc"};
}

const RecordTable& replicate_table() {
  static const RecordTable table{
      {"VM", "TO", "POINT", "METHOD", "LOOKED AT", "ZEROED", "SENT", "TOOK", "LAG", "NEXT DUE"},
      [](const model::Record& record) -> std::vector<Cell> {
        const model::Vm vm = record.vm();
        const auto replica = record.replica();
        const auto shadow = record.shadow();
        const std::string to = shadow ? shadow->host.get() : "-";
        if (const auto plan = record.json().find("replica_plan"); !replica && plan != record.json().end())
          return {vm.name.get(),
                  to,
                  fmt::format("{} planned", plan->at("point").get<std::uint64_t>()),
                  plan->at("method").get<std::string>(),
                  plan->contains("bytes") ? "about " + human_bytes(plan->at("bytes").get<std::uint64_t>()) : "-",
                  "-",
                  "-",
                  "-",
                  "-",
                  "-"};
        if (!replica) return {vm.name.get(), Cell("-", Tone::faint), "-", "-", "-", "-", "-", "-", "-", "-"};
        return {vm.name.get(),
                to,
                std::to_string(replica->point.value),
                replica->method,
                human_bytes(replica->dirty.value),
                human_bytes(replica->zero.value),
                human_bytes(replica->sent.value),
                base::to_human(base::Seconds(replica->duration_s)),
                base::to_human(base::Seconds(replica->lag_s)),
                replica->next_due ? base::to_rfc3339(*replica->next_due) : "-"};
      }};
  return table;
}

void tell_plan(const model::VmName& vm, const replicate::PassPlan& plan) {
  std::string text = fmt::format("replicate: {}: would make point {} by {}", vm.get(), plan.point.value,
                                 ports::to_string(plan.method));
  if (!plan.why.empty()) text += fmt::format(" ({})", plan.why);
  text += plan.bytes ? fmt::format(", looking at about {}", human_bytes(plan.bytes->value))
                     : ", how much is not known before";
  base::log(base::Level::info, text + told_time(plan));
}

void replicate_one(Session& session, const ReplicateOptions& options, model::Record& record) {
  const auto lease =
      take_lease(session, record.vm().name, std::chrono::ceil<base::Millis>(options.wait.value_or(base::Seconds{0})));
  if (options.wait)
    record.set(record_of(session, locate(session, record.vm().name)).vm());  // it may have moved meanwhile
  const model::Vm vm = record.vm();
  const model::ShadowSection shadow = need_shadow(session, record);
  record.set(shadow);
  const auto last = find_replica(session, record);
  replicate::PassRequest request = replicate::pass_request(vm.name, session.config().policy(vm.name),
                                                           session.config().host(vm.host), shadow.host, shadow.id);
  request.every = session.config().replicate.every;
  request.last = last;
  if (is_not_due(session, options, request, record)) return;
  request.resume = !options.anew;
  if (options.limits.retain) request.retain = *options.limits.retain;
  if (options.limits.rate) request.link_limit = options.limits.rate;
  const ports::Context context = context_of(session);
  if (session.common().dry_run) {
    const replicate::PassPlan plan =
        only_planned(session, record) ? replicate::plan_first_pass(primary_of(session, vm), request, shadow_is_planned)
                                      : replicate::plan_pass(context, request);
    tell_plan(vm.name, plan);
    record.set_extra("replica_plan", plan_json(plan));
    return;
  }
  clear_leftovers(session, vm);
  const replicate::PassResult result = replicate::run_pass(context, request);
  say_notes("replicate", vm.name, result.notes);
  record.set(result.replica);
  record.set(model::ShadowSection{shadow.id, shadow.host, result.level, shadow.from_pool});
  update_row(session, vm.name, [&](ports::ShadowRow& row) {
    row.replica = result.replica;
    row.level = result.level;
  });
}

}  // namespace

Verb replicate_verb() {
  auto options = std::make_shared<ReplicateOptions>();
  Verb verb;
  verb.name = "replicate";
  verb.summary = "Make the next restore point of a VM's disks on its shadow";
  verb.text =
      "Sends what changed since the newest point, by the guest's dirty bitmap; where there is none, the disk is read "
      "once and only\n"
      "blocks that differ are sent. Every block's digest is checked before the point becomes visible, all at once.\n"
      "With --due a VM that is off gets one pass more, and another where its images have changed since.\n"
      "With --source it makes points of files, disks and NBD exports, with neither libvirt nor a shadow: the first "
      "whole, "
      "later ones by digests. A file is taken for qcow2 where both its name and its first bytes say so, and for raw "
      "where "
      "neither says anything. A path with a = in it is written with its folder, as ./a=b.";
  verb.changes = true;
  verb.options = {
      {"--due", "", "only VMs whose next pass is due; with --all, of those with a shadow, also one that is off", "",
       set_flag(options->due)},
      {"--wait", "DURATION", "wait this long for another run on the same VM, or the same sources", "0s",
       set_duration("--wait", options->wait)},
      {"--retain", "N", "keep this many points", "the configuration's, 3",
       set_count("--retain", options->limits.retain, 1)},
      {"--limit", "RATE", "what all passes from one host may take of its link together: 100MiB/s, 1Gbit/s",
       "the configuration's, none", set_rate("--limit", options->limits.rate)},
      {"--resume", "", "go on from what a pass that was cut had sent: the default", "", set_flag(options->resume)},
      {"--no-resume", "", "send it again", "", set_flag(options->anew)},
      {"--source",
       "[DISK=]WHAT",
       "a file, a block device or an NBD URI; again for the next disk: vda, vdb and so on, or as named",
       "",
       [options](const std::string& text) { options->source.sources.push_back(text); },
       {},
       true},
      {"--name", "NAME", "with --source: the machine that the disks make", "", set_text(options->source.name)},
      {"--format", "FORMAT", "with --source: the files' format", "by name and first bytes",
       set_choice("--format", options->source.format, formats()), formats()},
      {"--into", "DIR", "with --source: points in this folder of this machine", "", set_text(options->source.into)},
      {"--on", "HOST", "with --source: points on this configured host", "", set_text(options->source.on)},
      {"--send", "-", "one whole point as a stream on standard output, for umbra receive -", "",
       set_text(options->source.send)},
  };
  verb.options.push_back({"--to", "HOST:PORT", "with --source: points where umbra receive --listen takes them", "",
                          set_text(options->source.to)});
  for (Option& option : tls_options(options->source.tls, "with --to")) verb.options.push_back(std::move(option));
  verb.examples = {"umbra replicate web1",
                   "umbra replicate --all --due",
                   "umbra replicate web1 --dry-run",
                   "umbra replicate web1 --send - | ssh beta umbra receive --into /srv -",
                   "umbra replicate --source /dev/vg0/web1 --name web1 --into /srv/points",
                   "umbra replicate --source nbd://filer/db --name db --send - | ssh beta umbra receive --into /srv -"};
  verb.run = [options](Session& session) {
    if (options->resume && options->anew)
      throw base::Error(base::Kind::usage, "--resume and --no-resume exclude each other", "give one, or none");
    options->limits.resume = !options->anew;
    options->limits.wait = std::chrono::ceil<base::Millis>(options->wait.value_or(base::Seconds{0}));
    const bool streamed = !options->source.send.empty();
    if (streamed && (options->due || options->resume || options->anew))
      throw base::Error(base::Kind::usage, "--due, --resume and --no-resume have no meaning with --send",
                        "a stream is whole, and goes whenever it is asked for");
    if (options->source.any() && options->due)
      throw base::Error(base::Kind::usage, "--due goes with VMs: of what --source names no RPO is configured",
                        "run it as often as points are wanted");
    if (options->source.any()) return run_sources(session, options->source, options->limits, replicate_table());
    if (streamed) return run_stream_vm(session, options->source, options->limits);
    const auto everyone = [&](Session& of, std::vector<base::Error>& unreachable) {
      if (!options->due) return running_vms(of, unreachable);
      std::vector<Located> vms = shadowed_vms(of, unreachable);
      options->off.emplace();
      for (const Located& vm : vms) {
        if (vm.domain.state == model::DomainState::off) options->off->emplace(vm.domain.name, vm.domain);
      }
      return vms;
    };
    return for_each_vm(
        session, "replicate", replicate_table(),
        [&](model::Record& record) { replicate_one(session, *options, record); }, false, {}, everyone);
  };
  return verb;
}

}  // namespace umbra::cmd
