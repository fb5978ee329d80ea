// SPDX-License-Identifier: Apache-2.0
// umbra decide: is moving worth it now?
#include "decide/decide.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "model/units.hpp"

namespace umbra::cmd {
namespace {

struct DecideOptions {
  bool replay = false;
  bool exit_code = false;
};

const RecordTable& decide_table() {
  static const RecordTable table{{"VM", "ANSWER", "NET BENEFIT", "THRESHOLD", "GAIN", "COST", "WHY"},
                                 [](const model::Record& record) -> std::vector<Cell> {
                                   const model::Vm vm = record.vm();
                                   const auto d = record.decision();
                                   if (!d)
                                     return {vm.name.get(), Cell("-", Tone::faint), "-", "-", "-", "-", "no trigger"};
                                   return {vm.name.get(),
                                           d->migrate ? Cell("migrate", Tone::warn) : Cell("stay", Tone::good),
                                           fmt::format("{:.2f}", d->net_benefit),
                                           fmt::format("{:.2f}", d->threshold),
                                           fmt::format("{:.2f}", d->gain),
                                           fmt::format("{:.2f}", d->cost),
                                           d->reasons.empty() ? "-" : d->reasons.front()};
                                 }};
  return table;
}

decide::Past past_of(Session& session, const model::Uuid& vm) {
  std::vector<model::Outcome> outcomes;
  for (const std::string& text : session.ledger().sections(vm, "outcome", 50))
    outcomes.push_back(model::outcome_from(model::Json::parse(text)));
  return decide::past_of(outcomes);
}

decide::Situation situation_of(Session& session, const model::Record& record) {
  const model::Vm vm = record.vm();
  decide::Situation s;
  s.forecast = need_forecast(session, record);
  s.placement = need_placement(session, record);
  if (record.shadow() || shadow_row_of(session, vm)) s.shadow = need_shadow(session, record);
  s.replica = find_replica(session, record);
  s.state = find_state(session, record);
  ports::Hypervisor& host = session.hypervisors().at(vm.host);
  const model::Domain domain = primary_of(session, vm);
  const model::VmPolicy policy = session.config().policy(vm.name);
  s.memory = s.state ? s.state->memory : domain.memory;
  s.dirty_rate = host.dirty_rate(vm.name).value_or(model::ByteRate{0});
  s.bandwidth =
      session.config().rate_between(session.config().host(vm.host), session.config().host(s.placement.host), policy);
  s.downtime_limit = policy.downtime_limit;
  s.priority = vm.priority;
  s.past = past_of(session, vm.uuid);
  return s;
}

/// What a dry run up the pipe would do is taken as done; whether there was any.
bool assume_plans(const model::Record& record, decide::Situation& situation) {
  const bool state = record.json().contains("state_plan") && !record.state();
  const bool replica = record.json().contains("replica_plan") && !record.replica();
  if (!situation.shadow || !(state || replica)) return false;
  const model::ShadowLevel then = state ? model::ShadowLevel::warm : model::ShadowLevel::seeded;
  situation.shadow->level = std::max(situation.shadow->level, then);
  return true;
}

/// Kind::corrupt where a recorded answer or figure is not what the recorded inputs give.
void require_same(const model::VmName& vm, const model::Decision& recorded, const model::Decision& again) {
  const auto differs = [](double a, double b) { return std::abs(a - b) > 1e-9 * std::max(1.0, std::abs(b)); };
  const std::tuple<const char*, double, double> figures[] = {
      {"migrate", recorded.migrate ? 1 : 0, again.migrate ? 1 : 0},
      {"gain", recorded.gain, again.gain},
      {"cost", recorded.cost, again.cost},
      {"net_benefit", recorded.net_benefit, again.net_benefit},
      {"threshold", recorded.threshold, again.threshold},
  };
  for (const auto& [name, was, is] : figures) {
    if (differs(was, is))
      throw base::Error(
          base::Kind::corrupt,
          fmt::format("the recorded {} is {}, its recorded inputs give {}: the record was changed, or another "
                      "version of Umbra made it",
                      name, was, is),
          "decide anew: umbra decide " + base::shell_word(vm));
  }
}

void decide_one(Session& session, const DecideOptions& options, model::Record& record, bool& stay) {
  if (options.replay) {
    const auto recorded = find_decision(session, record);
    if (!recorded)
      throw base::Error(base::Kind::not_found, fmt::format("no decision is recorded for {}", record.vm().name.get()),
                        "run `umbra decide` first");
    const model::Decision again = decide::replay(*recorded);
    require_same(record.vm().name, *recorded, again);
    record.set(again);
  } else {
    decide::Situation situation = situation_of(session, record);
    const bool planned = assume_plans(record, situation);
    record.set(decide::decide(situation));
    if (!planned) remember(session, record, "decision");
  }
  stay = stay || !record.decision()->migrate;
}

}  // namespace

Verb decide_verb() {
  auto options = std::make_shared<DecideOptions>();
  Verb verb;
  verb.name = "decide";
  verb.summary = "Weigh the gain of moving a VM against its cost";
  verb.text =
      "Net benefit = gain - cost, in expected seconds of unmet demand weighted by priority; above the threshold the "
      "answer is\n"
      "to migrate. \"Stay\" is an answer, not an error. The record holds every number that was used.";
  verb.options = {
      {"--replay", "", "compute the recorded decision again from its own numbers", "", set_flag(options->replay)},
      {"--exit-code", "", "exit with 10 where an answer is \"stay\"", "", set_flag(options->exit_code)},
  };
  verb.examples = {"umbra predict web1 | umbra place - | umbra decide -", "umbra decide web1 --replay -o table"};
  verb.run = [options](Session& session) {
    bool stay = false;
    const int status = for_each_vm(
        session, "decide", decide_table(),
        [&](model::Record& record) {
          const auto forecast = record.forecast();
          if (forecast && !forecast->trigger && is_piped(session.common())) {
            stay = true;  // nothing is foreseen that moving would help
          } else {
            decide_one(session, *options, record, stay);
          }
        },
        true);
    return status == exit_done && options->exit_code && stay ? exit_stay : status;
  };
  return verb;
}

}  // namespace umbra::cmd
