// SPDX-License-Identifier: Apache-2.0
// umbra replicate: the next restore point of a VM's disks.
#include "replicate/replicate.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/features.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

struct ReplicateOptions {
  bool due = false;
  std::optional<base::Seconds> wait;
  std::optional<model::ByteRate> limit;
  bool resume = false;
  bool anew = false;
};

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
  if (plan.duration) text += fmt::format(", in about {}", base::to_human(*plan.duration));
  base::log(base::Level::info, text);
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
  if (options.due && last && last->next_due && *last->next_due > session.clock().now()) {
    record.set(*last);
    return;
  }
  replicate::PassRequest request = replicate::pass_request(vm.name, session.config().policy(vm.name),
                                                           session.config().host(vm.host), shadow.host, shadow.id);
  request.last = last;
  request.resume = !options.anew;
  if (options.limit) request.link_limit = options.limit;
  const ports::Context context = context_of(session);
  if (session.common().dry_run) {
    const replicate::PassPlan plan =
        only_planned(session, record) ? replicate::plan_first_pass(primary_of(session, vm), request, shadow_is_planned)
                                      : replicate::plan_pass(context, request);
    tell_plan(vm.name, plan);
    model::Json json = {{"point", plan.point.value}, {"method", ports::to_string(plan.method)}, {"why", plan.why}};
    if (plan.bytes) json["bytes"] = plan.bytes->value;
    if (plan.duration) json["duration_s"] = plan.duration->count();
    record.set_extra("replica_plan", json);
    return;
  }
  clear_leftovers(session, vm);
  const replicate::PassResult result = replicate::run_pass(context, request);
  say_notes("replicate", vm.name, result.notes);
  if (!result.replica.rpo_met) say_notes("replicate", vm.name, {result.replica.due_reason});
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
      "blocks that differ are sent. Every block's digest is checked before the point becomes visible, all at once.";
  verb.changes = true;
  verb.options = {
      {"--due", "", "only VMs whose next pass is due", "", set_flag(options->due)},
      {"--wait", "DURATION", "wait this long for another run on the same VM", "0s",
       set_duration("--wait", options->wait)},
      {"--limit", "RATE", "what all passes from one host may take of its link together", "the configuration's",
       set_rate("--limit", options->limit)},
      {"--resume", "", "go on from what a pass that was cut had sent: the default", "", set_flag(options->resume)},
      {"--no-resume", "", "send it again", "", set_flag(options->anew)},
  };
  verb.examples = {"umbra replicate web1", "umbra replicate --all --due", "umbra replicate web1 --dry-run"};
  verb.run = [options](Session& session) {
    if (options->resume && options->anew)
      throw base::Error(base::Kind::usage, "--resume and --no-resume exclude each other", "give one, or none");
    return for_each_vm(session, "replicate", replicate_table(),
                       [&](model::Record& record) { replicate_one(session, *options, record); });
  };
  return verb;
}

}  // namespace umbra::cmd
