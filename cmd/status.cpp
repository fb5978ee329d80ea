// SPDX-License-Identifier: Apache-2.0
// umbra status: what stands where.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "ports/roles.hpp"

namespace umbra::cmd {
namespace {

/// One VM with everything that is known of it.
struct Standing {
  Located located;
  std::optional<ports::ShadowRow> shadow;
  model::Epoch epoch;
  std::optional<ports::Walk> walk;  ///< one that is open
};

/// By VM.
using OpenWalks = std::map<model::VmName, ports::Walk>;

std::optional<ports::Walk> walk_of(const OpenWalks& walks, const model::VmName& vm) {
  const auto walk = walks.find(vm);
  return walk == walks.end() ? std::nullopt : std::optional(walk->second);
}

bool is_stand_in(const model::Domain& domain) {
  return domain.state == model::DomainState::off &&
         (domain.tag.role == model::Role::shadow || domain.tag.role == model::Role::hibernated);
}

/// VMs whose host does not answer: what the store knows of them is worth the more.
void add_unseen(Session& session, const OpenWalks& walks, std::vector<Standing>& all) {
  for (const ports::ShadowRow& row : session.shadows().all()) {
    if (!session.silent_hosts().contains(row.primary_host)) continue;
    const bool seen =
        std::any_of(all.begin(), all.end(), [&](const Standing& s) { return s.located.domain.name == row.vm; });
    if (seen) continue;
    Standing unseen{{{}, row.primary_host}, row, session.journal().epoch(row.vm_uuid), walk_of(walks, row.vm)};
    unseen.located.domain.name = row.vm;
    unseen.located.domain.uuid = row.vm_uuid;
    unseen.located.domain.state = model::DomainState::other;
    all.push_back(std::move(unseen));
  }
}

std::vector<Standing> standings(Session& session, const OpenWalks& walks, std::vector<base::Error>& unreachable) {
  std::vector<Standing> all;
  for (const model::HostName& host : session.hypervisors().names()) {
    try {
      for (model::Domain& domain : domains_on(session, host)) {
        if (is_stand_in(domain)) continue;
        Standing s;
        s.shadow = session.shadows().find(domain.name);
        if (s.shadow && s.shadow->vm_uuid != domain.uuid) s.shadow.reset();          // of another VM of that name
        s.epoch = std::max(session.journal().epoch(domain.uuid), domain.tag.epoch);  // the state may be lost
        s.walk = walk_of(walks, domain.name);
        s.located = {std::move(domain), host};
        all.push_back(std::move(s));
      }
    } catch (const base::Error& error) {
      if (error.kind() != base::Kind::unreachable) throw;
      unreachable.push_back(error);
    }
  }
  add_unseen(session, walks, all);
  // A VM on its way also stands, not yet running, where it goes.
  std::set<model::VmName> running;
  for (const Standing& s : all) {
    if (s.located.domain.state == model::DomainState::running) running.insert(s.located.domain.name);
  }
  std::erase_if(all, [&](const Standing& s) {
    return s.walk && s.located.domain.state != model::DomainState::running && running.contains(s.located.domain.name);
  });
  std::stable_partition(all.begin(), all.end(), [](const Standing& s) { return s.walk.has_value(); });
  return all;
}

/// Where it stands, and what to type.
model::Json walk_json(Session& session, const ports::Walk& walk) {
  const base::Error error = open_walk_error(session, walk);
  model::Json json = {{"kind", walk.kind},
                      {"from", walk.from.get()},
                      {"to", walk.to.get()},
                      {"begun", base::to_rfc3339(walk.started)},
                      {"interrupted", error.kind() == base::Kind::interrupted},
                      {"next", error.hint()}};
  const auto entries = session.journal().entries(walk.id);
  if (!entries.empty()) json["step"] = entries.back().step;
  return json;
}

model::Json json_of(Session& session, const Standing& s) {
  model::Record record = record_of(session, s.located);
  if (s.shadow) {
    record.set(model::ShadowSection{s.shadow->id, s.shadow->host, s.shadow->level, s.shadow->from_pool});
    if (s.shadow->replica) record.set(replica_by_now(session, *s.shadow->replica));
    if (s.shadow->state) record.set(*s.shadow->state);
  }
  model::Json status = {{"domain", model::to_string(s.located.domain.state)},
                        {"epoch", s.epoch.value},
                        {"open_walk", s.walk.has_value()}};
  if (s.walk) status["walk"] = walk_json(session, *s.walk);
  record.set_extra("status", status);
  return record.json();
}

std::vector<Cell> row_of(Session& session, const Standing& s) {
  const model::Domain& domain = s.located.domain;
  const model::VmPolicy policy = session.config().policy(domain.name);
  const auto& replica = s.shadow ? s.shadow->replica : std::nullopt;
  const base::Seconds lag = replica ? base::Seconds(session.clock().now() - replica->taken_at) : base::Seconds{0};
  return {domain.name.get(),
          s.located.host.get(),
          Cell(std::string(model::to_string(domain.state)),
               domain.state == model::DomainState::running ? Tone::good : Tone::warn),
          std::string(model::to_string(policy.priority)),
          s.shadow ? s.shadow->host.get() : "-",
          s.shadow ? std::string(model::to_string(s.shadow->level)) : "-",
          replica ? std::to_string(replica->point.value) : "-",
          replica ? Cell(base::to_human(lag), lag > policy.rpo ? Tone::bad : Tone::plain) : Cell("-"),
          std::to_string(s.epoch.value)};
}

/// A walk of which this state knows nothing: another control host's, or of a state that was lost.
void tell_of_foreign_walk(Session& session, const Standing& s) {
  if (s.walk || s.located.domain.tag.role != model::Role::leaving) return;
  try {
    ports::require_primary(session.hypervisors().at(s.located.host), s.located.domain);
  } catch (const base::Error& error) {
    print_warning(error, "status", s.located.domain.name.get());
  }
}

/// A shadow's definition without a tag: a tool defined it anew without the metadata.
void tell_of_bare_stand_in(Session& session, const Standing& s) {
  const model::Domain& domain = s.located.domain;
  if (!s.shadow || s.walk || s.shadow->host != s.located.host || domain.tag != model::RoleTag{}) return;
  if (domain.state != model::DomainState::off) return;
  const std::string name = domain.name.get();
  const std::string host = s.located.host.get();
  print_warning(
      base::Error(base::Kind::refused,
                  fmt::format("its definition on {}, where its shadow is, bears no tag of Umbra's: nothing keeps "
                              "it from being started there",
                              host),
                  fmt::format("{}, then umbra shadow {} --on {}",
                              session.hypervisors()
                                  .at(s.located.host)
                                  .by_hand("undefine --keep-nvram --keep-tpm --checkpoints-metadata", domain.name),
                              base::shell_word(name), base::shell_word(host))),
      "status", name);
}

int run_status(Session& session) {
  const auto& names = session.common().operands;
  OpenWalks walks;
  for (const ports::Walk& walk : session.journal().open_walks()) {
    walks.insert_or_assign(walk.vm, walk);
    print_warning(open_walk_error(session, walk), "status", walk.vm.get());
  }
  std::vector<base::Error> unreachable;
  Listing listing(session.out(), {"VM", "HOST", "STATE", "PRIORITY", "SHADOW ON", "LEVEL", "POINT", "LAG", "EPOCH"});
  std::size_t shown = 0;
  std::set<std::string> seen;
  for (const Standing& s : standings(session, walks, unreachable)) {
    if (!names.empty() && std::find(names.begin(), names.end(), s.located.domain.name.get()) == names.end()) continue;
    ++shown;
    seen.insert(s.located.domain.name.get());
    tell_of_foreign_walk(session, s);
    tell_of_bare_stand_in(session, s);
    listing.add(json_of(session, s), row_of(session, s));
  }
  if (!listing.empty()) listing.finish();
  for (const base::Error& error : unreachable) print_error(error, "status", "");
  std::vector<base::Kind> failures(unreachable.size(), base::Kind::unreachable);
  for (const std::string& name : names) {
    if (seen.contains(name)) continue;
    try {
      locate(session, model::VmName(name));
    } catch (const base::Error& error) {
      print_error(error, "status", name);
      failures.push_back(error.kind());
    }
  }
  return status_of(failures, shown);
}

}  // namespace

Verb status_verb() {
  Verb verb;
  verb.name = "status";
  verb.summary = "Show what stands where: VMs, shadows, points, lag";
  verb.text =
      "Interrupted switchovers come first, on standard error, with the command that recovers them; their VMs lead the "
      "list. So are walks that another state folder began, and definitions of shadows that lost their tag.";
  verb.operands = Operands::words;
  verb.examples = {"umbra status", "umbra status web1 -o jsonl"};
  verb.run = run_status;
  return verb;
}

}  // namespace umbra::cmd
