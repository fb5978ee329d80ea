// SPDX-License-Identifier: Apache-2.0
#include "cmd/records.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <set>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/session.hpp"
#include "ports/delta.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;
using model::Record;

/// One run over VMs: what failed, how many were done.
/// Where nothing better is known.
std::string usual_hint(Kind kind, const model::VmName& vm) {
  switch (kind) {
    case Kind::unreachable:
    case Kind::timeout:
      return "see which host does not answer: umbra doctor";
    case Kind::busy:
      return "wait for it, then run the command again";
    case Kind::cancelled:
      return "see how things stand: umbra status " + vm.get();
    case Kind::io:
      return fmt::format("run it again; if it stays so: umbra doctor, umbra status {}", base::shell_word(vm));
    default:
      return {};
  }
}

/// What changes hosts: for these a VM is one VM, however often it is named.
constexpr std::array verbs_that_act{"shadow", "replicate", "sync", "switchover"};

class Run {
 public:
  Run(Session& session, const std::string& verb, const Act& act, bool act_on_untriggered)
      : m_session(session), m_verb(verb), m_act(act), m_act_on_untriggered(act_on_untriggered) {}

  void pass(Record record, bool from_pipe) {
    try {
      if (const auto earlier = record.error()) {
        m_failures.push_back(earlier->kind);
      } else if (from_pipe && !m_act_on_untriggered && is_untriggered(record)) {
        ++m_done;
      } else {
        act_on(record);
      }
    } catch (const Error& error) {
      set_error(record, error);  // a section that this umbra can't read
    }
    m_session.out().record(record);
    m_session.cancel().check();
  }

  /// A VM of which no record could be made.
  void fail(const Error& error, const std::string& subject) {
    print_error(error, m_verb, subject);
    m_failures.push_back(error.kind());
  }

  void fail(Record record, const Error& error) {
    set_error(record, error);
    m_session.out().record(record);
  }

  int status() const { return status_of(m_failures, m_done); }

 private:
  static bool is_untriggered(const Record& record) {
    const auto forecast = record.forecast();
    return forecast && !forecast->trigger;
  }

  void act_on(Record& record) {
    try {
      m_session.cancel().check();
      base::as_error([&] {
        check_once(record.vm().name);
        if (record.vm().host.get().empty()) complete(record);
        m_act(record);
      });
      ++m_done;
    } catch (const Error& error) {
      set_error(record, error);  // also of a stopped run: what became of the VM is told
    }
  }

  /// A second record of the VM would undo or repeat what was done for the first.
  void check_once(const model::VmName& vm) {
    const bool acts = std::ranges::count(verbs_that_act, m_verb) > 0;
    if (acts && !m_acted_on.insert(vm).second)
      throw Error(Kind::refused, fmt::format("a record of {} came before in this run: it is acted on once", vm.get()),
                  "give each VM once; of several records of one VM, the newest");
  }

  /// A record that does not say where its VM is, as a person may write one.
  void complete(Record& record) {
    const Located located = locate(m_session, record.vm().name);
    record.set(record_of(m_session, located).vm());
  }

  void set_error(Record& record, Error error) {
    if (error.hint().empty()) error.set_hint(usual_hint(error.kind(), record.vm().name));
    record.set(model::RecordError{error.kind(), m_verb, error.what(), error.hint()});
    print_error(error, m_verb, record.vm().name.get());
    m_failures.push_back(error.kind());
  }

  Session& m_session;
  const std::string& m_verb;
  const Act& m_act;
  bool m_act_on_untriggered;
  std::vector<Kind> m_failures;
  std::size_t m_done = 0;
  std::set<model::VmName> m_acted_on;
};

void pass_standard_input(Session& session, Run& run) {
  std::size_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      run.pass(Record::parse(line), true);
    } catch (const Error& error) {
      if (error.kind() == Kind::cancelled || error.kind() == Kind::io) throw;
      run.fail(error, fmt::format("line {} of standard input", number));
    }
    session.cancel().check();
  }
  session.cancel().check();  // a signal may have ended the reading, not the input
  if (std::cin.bad() || std::ferror(stdin) != 0) throw Error(Kind::io, "standard input can't be read");
}

void pass_named(Session& session, Run& run, const std::string& name) {
  const model::VmName vm(name);
  std::optional<Record> record;
  try {
    record = record_of(session, locate(session, vm));
  } catch (const Error& error) {
    model::Vm unknown;
    unknown.name = vm;
    run.fail(Record(unknown), error);
    return;
  }
  run.pass(std::move(*record), false);
}

void pass_all(Session& session, Run& run) {
  std::vector<Error> unreachable;
  const std::vector<Located> running = running_vms(session, unreachable);
  for (const Error& error : unreachable) run.fail(error, "a host");
  for (const Located& located : running) run.pass(record_of(session, located), false);
}

void check_operands(const Common& common) {
  const bool piped = is_piped(common);
  const bool dash = std::find(common.operands.begin(), common.operands.end(), "-") != common.operands.end();
  if (common.operands.empty() && !common.all) {
    throw Error(Kind::usage, "it must be told which VMs",
                "name them, or type --all, or - for records on standard input");
  }
  if ((common.all && !common.operands.empty()) || (dash && !piped))
    throw Error(Kind::usage, "VM names, --all and - exclude each other", "use one of them");
}

/// The newest copy of a section in the store, parsed.
template <class Read>
auto from_ledger(Session& session, const Record& record, const char* section, Read read)
    -> std::optional<decltype(read(model::Json{}))> {
  const auto text = session.ledger().last_section(record.vm().uuid, section);
  if (!text) return std::nullopt;
  return base::with_context(fmt::format("the stored section \"{}\" of {}", section, record.vm().name.get()),
                            [&] { return read(model::Json::parse(*text)); });
}

template <class Section>
Section need(std::optional<Section> found, const Record& record, const char* what, const char* verb) {
  if (found) return *found;
  const std::string vm = record.vm().name.get();
  throw Error(Kind::not_found, fmt::format("there is no {} for {}, neither in the record nor in the store", what, vm),
              fmt::format("run `umbra {} {}` first, or pipe its output in", verb, vm));
}

}  // namespace

void print_error(const Error& error, const std::string& verb, const std::string& subject) {
  std::string text = verb.empty() ? "" : verb + ": ";
  if (!subject.empty()) text += subject + ": ";
  text += error.what();
  if (!error.hint().empty()) text += "\n  hint: " + error.hint();
  base::log(base::Level::error, text);
}

int for_each_vm(Session& session, const std::string& verb, const RecordTable& table, const Act& act,
                bool act_on_untriggered) {
  const Common& common = session.common();
  check_operands(common);
  Run run(session, verb, act, act_on_untriggered);
  try {
    if (common.all) {
      pass_all(session, run);
    } else if (common.operands.front() == "-") {
      pass_standard_input(session, run);
    } else {
      std::set<std::string> seen;
      for (const std::string& name : common.operands) {
        if (seen.insert(name).second) pass_named(session, run, name);
      }
    }
  } catch (const Error&) {
    session.out().finish(table);  // of those that were done
    throw;
  }
  session.out().finish(table);
  return run.status();
}

void check_answers(Session& session, const model::HostName& host) {
  const auto& silent = session.silent_hosts();
  if (const auto it = silent.find(host); it != silent.end()) throw it->second;
}

std::vector<model::Domain> domains_on(Session& session, const model::HostName& host) {
  check_answers(session, host);
  try {
    std::vector<model::Domain> domains = session.hypervisors().at(host).domains();
    std::erase_if(domains, model::is_rehearsal);
    return domains;
  } catch (const Error& error) {
    if (error.kind() == Kind::unreachable) session.silent_hosts().emplace(host, error);
    throw;
  }
}

std::vector<Located> running_vms(Session& session, std::vector<Error>& unreachable) {
  std::vector<Located> running;
  for (const model::HostName& host : session.hypervisors().names()) {
    try {
      for (model::Domain& domain : domains_on(session, host)) {
        if (domain.state == model::DomainState::running) running.push_back({std::move(domain), host});
      }
    } catch (const Error& error) {
      if (error.kind() != Kind::unreachable) throw;
      unreachable.push_back(error);
    }
  }
  return running;
}

namespace {

std::optional<ports::Walk> open_walk_of(Session& session, const model::VmName& vm) {
  for (ports::Walk& walk : session.journal().open_walks()) {
    if (walk.vm == vm) return std::move(walk);
  }
  return std::nullopt;
}

std::string described(const ports::Walk& walk) {
  return fmt::format("{} from {} to {}, begun {}", walk.kind, walk.from.get(), walk.to.get(),
                     base::to_rfc3339(walk.started));
}

Error interrupted(const ports::Walk& walk) {
  return Error(Kind::interrupted, fmt::format("an interrupted {} is open", described(walk)),
               fmt::format("umbra switchover --recover {}", base::shell_word(walk.vm)));
}

}  // namespace

Error open_walk_error(Session& session, const ports::Walk& walk) {
  try {
    session.leases().acquire(walk.vm, base::Millis{0});
  } catch (const Error& error) {
    if (error.kind() != Kind::busy) throw;
    return Error(Kind::busy, fmt::format("a {} is under way", described(walk)), "wait until it has ended");
  }
  return interrupted(walk);
}

std::unique_ptr<ports::Lease> take_lease(Session& session, const model::VmName& vm, base::Millis wait) {
  auto lease = session.common().dry_run ? nullptr : session.leases().acquire(vm, wait);
  if (const auto walk = open_walk_of(session, vm)) throw lease ? interrupted(*walk) : open_walk_error(session, *walk);
  return lease;
}

Located locate(Session& session, const model::VmName& vm) {
  std::vector<Located> live;
  std::vector<Located> off;
  std::vector<std::string> known;
  std::optional<Error> unreachable;
  for (const model::HostName& host : session.hypervisors().names()) {
    try {
      for (model::Domain& domain : domains_on(session, host)) {
        known.push_back(domain.name.get());
        if (domain.name != vm) continue;
        (domain.state == model::DomainState::off ? off : live).push_back({std::move(domain), host});
      }
    } catch (const Error& error) {
      if (error.kind() != Kind::unreachable) throw;
      unreachable = error;
    }
  }
  if (live.size() > 1) {
    // A VM that is on its way stands on both hosts, and only its walk may touch it.
    if (const auto walk = open_walk_of(session, vm)) throw open_walk_error(session, *walk);
    throw Error(Kind::refused,
                fmt::format("{} is up on {} and on {} at once", vm.get(), live[0].host.get(), live[1].host.get()),
                "find out which one serves, shut the other down, then run `umbra status`");
  }
  if (live.size() == 1) return std::move(live.front());
  std::erase_if(off, [](const Located& l) {
    return l.domain.tag.role == model::Role::shadow || l.domain.tag.role == model::Role::hibernated;
  });
  if (!off.empty()) return std::move(off.front());
  if (unreachable) {
    Error error = *unreachable;
    error.add_context(fmt::format("{} was not found on the hosts that answer", vm.get()));
    throw error;
  }
  const auto nearest = base::nearest(vm.get(), known);
  throw Error(Kind::not_found, fmt::format("no VM is named \"{}\" on any configured host", vm.get()),
              nearest ? fmt::format("did you mean {}?", *nearest) : "`umbra status` lists the VMs that Umbra sees");
}

Record record_of(Session& session, const Located& located) {
  return Record(model::Vm{located.domain.name, located.domain.uuid, located.host,
                          session.config().policy(located.domain.name).priority});
}

std::optional<ports::ShadowRow> shadow_row_of(Session& session, const model::Vm& vm) {
  auto row = session.shadows().find(vm.name);
  if (row && !vm.uuid.get().empty()) ports::require_shadow_of(*row, vm.uuid);
  return row;
}

std::optional<model::Forecast> find_forecast(Session& session, const Record& record) {
  if (auto forecast = record.forecast()) return forecast;
  return from_ledger(session, record, "forecast", model::forecast_from);
}

std::optional<model::Placement> find_placement(Session& session, const Record& record) {
  if (auto placement = record.placement()) return placement;
  return from_ledger(session, record, "placement", model::placement_from);
}

std::optional<model::Decision> find_decision(Session& session, const Record& record) {
  if (auto decision = record.decision()) return decision;
  return from_ledger(session, record, "decision", model::decision_from);
}

std::optional<model::Replica> find_replica(Session& session, const Record& record) {
  if (auto replica = record.replica()) return replica;
  const auto row = shadow_row_of(session, record.vm());
  return row ? row->replica : std::nullopt;
}

std::optional<model::StateSection> find_state(Session& session, const Record& record) {
  if (auto state = record.state()) return state;
  const auto row = shadow_row_of(session, record.vm());
  return row ? row->state : std::nullopt;
}

model::Forecast need_forecast(Session& session, const Record& record) {
  if (const auto piped = record.forecast()) return *piped;
  const model::Forecast forecast = need(find_forecast(session, record), record, "forecast", "predict");
  const base::Seconds age = session.clock().now() - forecast.made_at;
  if (age > base::Seconds{forecast.within_s}) {
    throw Error(Kind::not_found,
                fmt::format("the newest forecast of {} is {} old and looked {} ahead", record.vm().name.get(),
                            base::to_human(age), base::to_human(base::Seconds{forecast.within_s})),
                fmt::format("umbra predict {}", base::shell_word(record.vm().name)));
  }
  return forecast;
}

model::Placement need_placement(Session& session, const Record& record) {
  return need(find_placement(session, record), record, "placement", "place");
}

model::ShadowSection need_shadow(Session& session, const Record& record) {
  auto shadow = record.shadow();
  if (!shadow) {
    if (const auto row = shadow_row_of(session, record.vm()))
      shadow = model::ShadowSection{row->id, row->host, row->level, row->from_pool};
  }
  return need(std::move(shadow), record, "shadow", "shadow");
}

bool only_planned(Session& session, const Record& record) {
  return session.common().dry_run && record.shadow() && !session.shadows().find(record.vm().name);
}

model::Domain primary_of(Session& session, const model::Vm& vm) {
  auto domain = session.hypervisors().at(vm.host).find(vm.name);
  if (!domain)
    throw base::Error(base::Kind::not_found, fmt::format("{} is not on {}", vm.name.get(), vm.host.get()),
                      "umbra status " + vm.name.get());
  const bool stand_in = domain->state == model::DomainState::off &&
                        (domain->tag.role == model::Role::shadow || domain->tag.role == model::Role::hibernated);
  if (stand_in)
    throw Error(
        Kind::refused,
        fmt::format("{} on {} is a {}, not the running VM: it has moved since this record was made", vm.name.get(),
                    vm.host.get(), domain->tag.role == model::Role::shadow ? "shadow" : "hibernated primary"),
        fmt::format("run the pipeline again: umbra predict {0} | umbra place - ...", base::shell_word(vm.name)));
  if (!vm.uuid.get().empty() && vm.uuid != domain->uuid)
    throw Error(Kind::refused,
                fmt::format("the record is of another VM of the name {} (uuid {}, the one on {} has {})", vm.name.get(),
                            vm.uuid.get(), vm.host.get(), domain->uuid.get()),
                fmt::format("umbra status {}", base::shell_word(vm.name)));
  return *domain;
}

model::Replica replica_by_now(Session& session, model::Replica replica) {
  replica.lag_s = base::Seconds(session.clock().now() - replica.taken_at).count();
  return replica;
}

void remember(Session& session, const Record& record, const char* section) {
  if (session.common().dry_run) return;
  session.ledger().add_section(record.vm().uuid, section, model::to_text(record.json().at(section)),
                               session.clock().now());
}

}  // namespace umbra::cmd
