// SPDX-License-Identifier: Apache-2.0
#include "cmd/walks.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "model/units.hpp"

namespace umbra::cmd {

const RecordTable& switchover_table() {
  static const RecordTable table{
      {"VM", "RESULT", "RUNS ON", "BLACKOUT", "BROWNOUT", "SENT", "EPOCH", "OLD PRIMARY", "PHASES"},
      [](const model::Record& record) -> std::vector<Cell> {
        const model::Vm vm = record.vm();
        const auto o = record.outcome();
        if (!o) return {vm.name.get(), Cell("-", Tone::faint), vm.host.get(), "-", "-", "-", "-", "-", "nothing to do"};
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

Hooks::Hooks(Session& session, const model::VmName& vm, const model::VmPolicy& policy)
    : redirectors(session.redirectors(vm, policy)), probe(session.probe(vm, policy)), fence(session.fence()) {}

switchover::Ports Hooks::ports(Session& session) const {
  switchover::Ports ports{session.hypervisors(), session.transport(), session.journal(), session.shadows(),
                          session.leases(),      session.clock(),     session.cancel(),  {},
                          probe.get(),           fence.get()};
  for (const auto& redirector : redirectors) ports.redirectors.push_back(redirector.get());
  return ports;
}

std::optional<base::Error> failure_of_probe(const model::Record& record) {
  const auto outcome = record.outcome();
  if (!outcome || outcome->result != "rolled_back") return std::nullopt;
  const std::string name = record.vm().name.get();
  return base::Error(
      base::Kind::timeout,
      fmt::format("{} was taken back to {}: on the other host its health probe failed", name, outcome->host.get()),
      fmt::format("look at its probe and its redirectors, then umbra switchover {}", base::shell_word(name)));
}

void conclude(Session& session, model::Record& record, model::Outcome outcome) {
  for (const std::string& note : outcome.notes)
    base::log(base::Level::info, fmt::format("switchover: {}: {}", record.vm().name.get(), note));
  record.set(outcome);
  if (outcome.result == "planned") return;
  if (!outcome.host.get().empty()) {
    model::Vm vm = record.vm();
    vm.host = outcome.host;
    record.set(vm);
  }
  try {
    base::as_error([&] { remember(session, record, "outcome"); });
  } catch (const base::Error& e) {
    const std::string note = fmt::format("the outcome is not in the history: {}", e.what());
    base::log(base::Level::warning, fmt::format("switchover: {}: {}", record.vm().name.get(), note));
    outcome.notes.push_back(note);
    record.set(outcome);
  }
}

}  // namespace umbra::cmd
