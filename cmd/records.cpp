// SPDX-License-Identifier: Apache-2.0
#include "cmd/records.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <set>
#include <tuple>
#include <utility>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/session.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;
using model::Record;

/// What changes hosts: for these a VM is one VM, however often it is named.
constexpr std::array verbs_that_act{"shadow", "replicate", "sync", "switchover"};

/// One run over VMs: what failed, how many were done.
class Run {
 public:
  Run(Session& session, const std::string& verb, const Act& act, bool act_on_untriggered, const ActTogether& together)
      : m_session(session), m_verb(verb), m_act(act), m_act_on_untriggered(act_on_untriggered), m_together(together) {}

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
    put_out(std::move(record));
    m_session.cancel().check();
  }

  /// Acts on those that wait to be acted on together, and prints them.
  void settle() {
    std::vector<Record*> acted;
    for (Waiting& one : m_waiting) {
      if (one.acted) acted.push_back(&one.record);
    }
    const auto fail_one = [&](Record& record, const Error& error) {
      --m_done;
      std::erase(acted, &record);
      set_error(record, error);
    };
    try {
      if (!acted.empty()) base::as_error([&] { m_together(std::vector(acted), fail_one); });
    } catch (const Error& error) {
      for (Record* record : std::vector(acted)) fail_one(*record, error);
    }
    for (const Waiting& one : m_waiting) m_session.out().record(one.record);
    m_waiting.clear();
  }

  /// A run that is stopped: those that still wait say so.
  void give_up(const Error& error) {
    for (Waiting& one : m_waiting) {
      if (one.acted) set_error(one.record, error);
      m_session.out().record(one.record);
    }
    m_waiting.clear();
  }

  /// A VM of which no record could be made.
  void fail(const Error& error, const std::string& subject) {
    print_error(error, m_verb, subject);
    m_failures.push_back(error.kind());
  }

  void fail(Record record, const Error& error) {
    set_error(record, error);
    put_out(std::move(record));
  }

  int status() const { return status_of(m_failures, m_done); }

 private:
  struct Waiting {
    Record record;
    bool acted = false;
  };
  static constexpr std::size_t most_waiting = 2048;

  void put_out(Record record) {
    if (!m_together) {
      m_session.out().record(record);
      return;
    }
    m_waiting.push_back({std::move(record), std::exchange(m_acted, false)});
    if (m_waiting.size() == most_waiting) settle();
  }

  static bool is_untriggered(const Record& record) {
    const auto forecast = record.forecast();
    return forecast && !forecast->trigger;
  }

  void act_on(Record& record) {
    try {
      m_session.cancel().check();
      base::as_error([&] {
        check_once(record.vm().name);
        if (record.vm().host.get().empty() && !names_come_from_history(m_session)) complete(record);
        m_act(record);
      });
      ++m_done;
      m_acted = true;
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
    error = with_hint(std::move(error), m_verb, record.vm().name.get());
    record.set(model::RecordError{error.kind(), m_verb, error.what(), error.hint()});
    print_error(error, m_verb, record.vm().name.get());
    m_failures.push_back(error.kind());
  }

  Session& m_session;
  const std::string& m_verb;
  const Act& m_act;
  bool m_act_on_untriggered;
  const ActTogether& m_together;
  std::vector<Waiting> m_waiting;
  bool m_acted = false;  ///< on the record at hand
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
  if (std::cin.bad() || std::ferror(stdin) != 0)
    throw Error(Kind::io, "standard input can't be read", "pipe records in, or name the VMs");
}

void pass_named(Session& session, Run& run, const std::string& name) {
  const model::VmName vm(name);
  std::optional<Record> record;
  try {
    record = names_come_from_history(session) ? Record(find_in_history(session, vm))
                                              : record_of(session, locate(session, vm));
  } catch (const Error& error) {
    model::Vm unknown;
    unknown.name = vm;
    run.fail(Record(unknown), error);
    return;
  }
  run.pass(std::move(*record), false);
}

std::vector<model::Vm> all_vms(Session& session, const Everyone& everyone, std::vector<Error>& unreachable) {
  if (names_come_from_history(session)) return vms_in_history(session);
  std::vector<model::Vm> vms;
  for (const Located& located : everyone(session, unreachable)) vms.push_back(record_of(session, located).vm());
  return vms;
}

void pass_all(Session& session, Run& run, const Everyone& everyone) {
  std::vector<Error> unreachable;
  std::vector<model::Vm> vms = all_vms(session, everyone, unreachable);
  // Critical machines first: they get what there is of the pool, of room and of time.
  std::ranges::stable_sort(vms, {}, [](const model::Vm& vm) { return std::tie(vm.priority, vm.name); });
  for (const Error& error : unreachable) run.fail(error, "a host");
  for (const model::Vm& vm : vms) run.pass(Record(vm), false);
}

void check_operands(const Common& common) {
  const bool piped = is_piped(common);
  const bool dash = std::find(common.operands.begin(), common.operands.end(), "-") != common.operands.end();
  if (common.operands.empty() && !common.all) {
    throw Error(Kind::usage, "it must be told which VMs",
                "name them, or type --all, or - for records on standard input");
  }
  if (std::ranges::count(common.operands, "") > 0)
    throw Error(Kind::usage, "the name of a VM is empty", "see which there are: umbra status");
  if ((common.all && !common.operands.empty()) || (dash && !piped))
    throw Error(Kind::usage, "VM names, --all and - exclude each other", "use one of them");
}

}  // namespace

int for_each_vm(Session& session, const std::string& verb, const RecordTable& table, const Act& act,
                bool act_on_untriggered, const ActTogether& together, const Everyone& everyone) {
  const Common& common = session.common();
  check_operands(common);
  Run run(session, verb, act, act_on_untriggered, together);
  try {
    if (common.all) {
      pass_all(session, run, everyone);
    } else if (common.operands.front() == "-") {
      pass_standard_input(session, run);
    } else {
      std::set<std::string> seen;
      for (const std::string& name : common.operands) {
        if (seen.insert(name).second) pass_named(session, run, name);
      }
    }
    run.settle();
  } catch (const Error& error) {
    run.give_up(error);
    session.out().finish(table);  // of those that were done
    throw;
  }
  session.out().finish(table);
  return run.status();
}

}  // namespace umbra::cmd
