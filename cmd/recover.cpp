// SPDX-License-Identifier: Apache-2.0
// umbra switchover --recover: what became of walks that were interrupted.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/walks.hpp"

namespace umbra::cmd {
namespace {

std::set<model::VmName> interrupted_vms(Session& session) {
  const auto& names = session.common().operands;
  std::set<model::VmName> open;
  for (const ports::Walk& walk : session.journal().open_walks()) {
    if (names.empty() || std::ranges::count(names, walk.vm.get()) > 0) open.insert(walk.vm);
  }
  return open;
}

/// A name that nobody bears is an error; one without a walk is in order.
void say_nothing_is_open(Session& session, const std::string& name) {
  locate(session, model::VmName(name));
  base::log(base::Level::info, fmt::format("switchover: {}: no walk is open, nothing to recover", name));
}

void plan_recovery(Session& session, const switchover::Ports& ports, const switchover::ForgetRequest& forget) {
  std::string plan = "would ask both hosts and finish or take back its walk";
  if (!forget.host.get().empty()) {
    switchover::check_forget(ports, forget);
    plan = fmt::format("would {} and end its walk without {}",
                       session.fence() ? "fence " + forget.host.get() : std::string("take the risk of two"),
                       forget.host.get());
  }
  base::log(base::Level::info, fmt::format("switchover: {}: {}", forget.vm.get(), plan));
}

/// The record says what the walk did, whatever the hosts answer by now.
model::Record record_of(Session& session, const switchover::Recovered& one) {
  return model::Record(model::Vm{one.vm, one.uuid, one.outcome.host, session.config().policy(one.vm).priority});
}

void recover_one(Session& session, const model::VmName& vm, const RecoverOptions& options) {
  const Hooks hooks(session, vm, session.config().policy(vm));
  const switchover::Ports ports = hooks.ports(session);
  const switchover::ForgetRequest forget{vm, model::HostName(options.forget), options.accept_risk};
  if (session.common().dry_run) return plan_recovery(session, ports, forget);
  const auto recovered =
      options.forget.empty() ? switchover::recover(ports, vm) : switchover::recover_without(ports, forget);
  std::optional<base::Error> failure;
  for (const switchover::Recovered& one : recovered) {
    base::log(base::Level::info, fmt::format("switchover: {}: found {}; {}", one.vm.get(), one.found, one.did));
    model::Record record = record_of(session, one);
    conclude(session, record, one.outcome);
    if (const auto failed = failure_of_probe(record)) {
      record.set(model::RecordError{failed->kind(), "switchover", failed->what(), failed->hint()});
      failure = failed;
    }
    session.out().record(record);
  }
  if (failure) throw base::Error(*failure);
}

void check_recovery(Session& session, const RecoverOptions& options) {
  if (is_piped(session.common()))
    throw base::Error(base::Kind::usage, "--recover reads no records",
                      "name the VMs, or none for all that are interrupted");
  if (options.forget.empty()) return;
  if (session.common().operands.empty())
    throw base::Error(base::Kind::usage, "--forget needs the names of the VMs whose walks are ended without that host",
                      "umbra status shows which are interrupted");
  session.config().host(model::HostName(options.forget));
}

}  // namespace

int recover_walks(Session& session, const RecoverOptions& options) {
  check_recovery(session, options);
  const auto& names = session.common().operands;
  const std::set<model::VmName> open = interrupted_vms(session);
  std::vector<base::Kind> failures;
  std::size_t done = 0;
  const auto attempt = [&](const std::string& name, const auto& act) {
    try {
      act();
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "switchover", name);
      failures.push_back(error.kind());
    }
  };
  for (const std::string& name : names) {
    if (!open.contains(model::VmName(name))) attempt(name, [&] { say_nothing_is_open(session, name); });
  }
  for (const model::VmName& vm : open) attempt(vm.get(), [&] { recover_one(session, vm, options); });
  if (open.empty() && names.empty()) base::log(base::Level::info, "switchover: no walk is open, nothing to recover");
  session.out().finish(switchover_table());
  return status_of(failures, done);
}

}  // namespace umbra::cmd
