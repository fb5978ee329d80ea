// SPDX-License-Identifier: Apache-2.0
// umbra sync: memory and disks of one instant, on the shadow.
#include "sync/sync.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/features.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

const RecordTable& sync_table() {
  static const RecordTable table{{"VM", "LEVEL", "POINT", "MEMORY", "SENT", "PROCESSES", "OPEN FILES", "PAUSED"},
                                 [](const model::Record& record) -> std::vector<Cell> {
                                   const model::Vm vm = record.vm();
                                   const auto state = record.state();
                                   const auto plan = record.json().find("state_plan");
                                   if (!state && plan != record.json().end())
                                     return {vm.name.get(),
                                             "warm",
                                             fmt::format("{} planned", plan->at("point").get<std::uint64_t>()),
                                             human_bytes(plan->at("memory_bytes").get<std::uint64_t>()),
                                             "-",
                                             "-",
                                             "-",
                                             "-"};
                                   if (!state)
                                     return {vm.name.get(), Cell("-", Tone::faint), "-", "-", "-", "-", "-", "-"};
                                   const auto count = [](const std::optional<std::uint64_t>& n) {
                                     return n ? std::to_string(*n) : std::string("-");
                                   };
                                   return {vm.name.get(),
                                           std::string(model::to_string(state->level)),
                                           std::to_string(state->point.value),
                                           human_bytes(state->memory.value),
                                           human_bytes(state->sent.value),
                                           count(state->processes),
                                           count(state->open_files),
                                           fmt::format("{:.0f} ms", state->paused_ms)};
                                 }};
  return table;
}

void sync_one(Session& session, model::Record& record) {
  const model::Vm vm = record.vm();
  const auto lease = take_lease(session, vm.name);
  primary_of(session, vm);  // a record may be older than the VM's last move
  const model::ShadowSection shadow = need_shadow(session, record);
  const model::VmPolicy policy = session.config().policy(vm.name);
  const sync::WarmRequest request{
      vm.name,       vm.host,          shadow.host,      shadow.id, session.config().host(vm.host).images,
      policy.retain, policy.bandwidth, policy.retain_for};
  const ports::Context context = context_of(session);
  if (session.common().dry_run) {
    const sync::WarmPlan plan = only_planned(session, record)
                                    ? sync::WarmPlan{{1},
                                                     std::string(ports::to_string(ports::Method::full)),
                                                     shadow_is_planned,
                                                     primary_of(session, vm).memory}
                                    : sync::plan_warm(context, request);
    base::log(base::Level::info,
              fmt::format("sync: {}: would make point {} with disks by {} and at most {} of memory", vm.name.get(),
                          plan.point.value, plan.method, human_bytes(plan.memory.value)));
    record.set_extra(
        "state_plan",
        {{"point", plan.point.value}, {"method", plan.method}, {"why", plan.why}, {"memory_bytes", plan.memory.value}});
    return;
  }
  sync::WarmResult result = sync::warm(context, request);
  // The point is as good as a pass's: the next pass is due as long after it as it was after the last one.
  if (const auto last = find_replica(session, record); last && last->next_due) {
    result.replica.next_due = result.replica.taken_at + (*last->next_due - last->taken_at);
    result.replica.due_reason = last->due_reason;
  }
  say_notes("sync", vm.name, result.notes);
  record.set(result.state);
  record.set(result.replica);
  record.set(model::ShadowSection{shadow.id, shadow.host, result.state.level, shadow.from_pool});
  update_row(session, vm.name, [&](ports::ShadowRow& row) {
    row.state = result.state;
    row.replica = result.replica;
    row.level = result.state.level;
  });
}

}  // namespace

Verb sync_verb() {
  Verb verb;
  verb.name = "sync";
  verb.summary = "Bring memory and disks of one instant to the shadow";
  verb.text =
      "The shadow becomes warm: it can be resumed from the point with the same processes, open files and uptime. The "
      "guest runs\n"
      "on meanwhile. Its processes and open files are recorded by the guest agent, where one answers.";
  verb.changes = true;
  verb.examples = {"umbra sync web1", "umbra replicate --all | umbra sync -"};
  verb.run = [](Session& session) {
    return for_each_vm(session, "sync", sync_table(), [&](model::Record& record) { sync_one(session, record); });
  };
  return verb;
}

}  // namespace umbra::cmd
