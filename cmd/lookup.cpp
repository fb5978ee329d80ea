// SPDX-License-Identifier: Apache-2.0
#include "cmd/lookup.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/session.hpp"
#include "ports/delta.hpp"

namespace umbra::cmd {
namespace {

using base::Error;
using base::Kind;
using model::Record;

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
              fmt::format("run `umbra {} {}` first, or pipe its output in", verb, base::shell_word(record.vm().name)));
}

}  // namespace

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

namespace {

std::vector<Located> vms_that(Session& session, std::vector<Error>& unreachable,
                              const std::function<bool(const model::Domain&, const model::HostName&)>& wanted) {
  std::vector<Located> found;
  for (const model::HostName& host : session.hypervisors().names()) {
    try {
      for (model::Domain& domain : domains_on(session, host)) {
        if (wanted(domain, host)) found.push_back({std::move(domain), host});
      }
    } catch (const Error& error) {
      if (error.kind() != Kind::unreachable) throw;
      unreachable.push_back(error);
    }
  }
  return found;
}

bool is_running(const model::Domain& domain) {
  return domain.state == model::DomainState::running;
}

}  // namespace

std::vector<Located> running_vms(Session& session, std::vector<Error>& unreachable) {
  return vms_that(session, unreachable, [](const auto& domain, const auto&) { return is_running(domain); });
}

std::vector<Located> shadowed_vms(Session& session, std::vector<Error>& unreachable) {
  std::set<model::VmName> names;
  std::set<std::pair<model::Uuid, model::HostName>> places;
  for (const ports::ShadowRow& row : session.shadows().all()) {
    names.insert(row.vm);
    places.emplace(row.vm_uuid, row.primary_host);
  }
  std::vector<Located> found = vms_that(session, unreachable, [&](const auto& domain, const auto& host) {
    const bool is_off = domain.state == model::DomainState::off && domain.tag.role != model::Role::shadow &&
                        domain.tag.role != model::Role::hibernated && domain.tag.role != model::Role::leaving;
    return is_off ? places.contains({domain.uuid, host}) : is_running(domain) && names.contains(domain.name);
  });
  std::set<model::VmName> running;
  for (const Located& one : found) {
    if (is_running(one.domain)) running.insert(one.domain.name);
  }
  std::erase_if(found,
                [&](const Located& one) { return !is_running(one.domain) && running.contains(one.domain.name); });
  return found;
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

/// Of a VM that is nowhere to be found: its host, where that is silent and a point could take its place.
std::optional<model::HostName> lost_host_of(Session& session, const model::VmName& vm) {
  const auto row = session.shadows().find(vm);
  if (!row || !row->replica || !session.silent_hosts().contains(row->primary_host)) return std::nullopt;
  return row->primary_host;
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
    if (const auto host = lost_host_of(session, vm))
      error.set_hint(fmt::format("{}; where {} is lost: umbra switchover {} --from-point", error.hint(), host->get(),
                                 base::shell_word(vm)));
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

bool names_come_from_history(Session& session) {
  return !session.config().hosts_given && session.config().metrics.source != "libvirt";
}

std::vector<model::Vm> vms_in_history(Session& session) {
  const std::vector<model::Counters> subjects = session.history().last_counters();
  base::Instant newest;
  for (const model::Counters& subject : subjects) newest = std::max(newest, subject.at);
  // One that was seen by a clock that ran ahead makes no other look gone.
  newest = std::min(newest, session.clock().now());
  std::vector<model::Vm> vms;
  for (const model::Counters& subject : subjects) {
    const bool is_gone = newest - subject.at > model::longest_window;
    if (subject.vm.get().empty() || is_gone) continue;
    vms.push_back({subject.vm, subject.uuid, subject.host, session.config().policy(subject.vm).priority});
  }
  if (vms.empty()) throw Error(Kind::not_found, "the history holds no VM", "umbra observe");
  return vms;
}

model::Vm find_in_history(Session& session, const model::VmName& vm) {
  std::vector<std::string> known;
  for (model::Vm& candidate : vms_in_history(session)) {
    if (candidate.name == vm) return std::move(candidate);
    known.push_back(candidate.name.get());
  }
  const auto nearest = base::nearest(vm.get(), known);
  throw Error(Kind::not_found, fmt::format("no VM is named \"{}\" in the history", vm.get()),
              nearest ? fmt::format("did you mean {}?", *nearest) : "umbra predict --all");
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
  if (shadow) return *shadow;
  const model::VmName& vm = record.vm().name;
  throw Error(Kind::not_found,
              fmt::format("there is no shadow of {}, neither in the record nor in the store", vm.get()),
              ports::make_first(vm));
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
  const Record* const one = &record;
  remember(session, {&one, 1}, section);
}

void remember(Session& session, std::span<const Record* const> records, const char* section) {
  if (session.common().dry_run) return;
  const base::Instant now = session.clock().now();
  std::vector<ports::LedgerRow> rows;
  for (const Record* record : records) {
    rows.push_back({record->vm().uuid, section, model::to_text(record->json().at(section)), now});
  }
  session.ledger().add_sections(rows);
}

}  // namespace umbra::cmd
