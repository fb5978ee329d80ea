// SPDX-License-Identifier: Apache-2.0
// umbra shadow: makes, finds, lists, rehearses and drops shadows.
#include "shadow/shadow.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/points.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "shadow/rehearse.hpp"

namespace umbra::cmd {
namespace {

struct ShadowOptions {
  std::string on;
  bool drop = false;
  bool forget = false;
  bool rehearse = false;
  std::optional<base::Seconds> watch;
  PointsOptions points;
};

const RecordTable& shadow_table() {
  static const RecordTable table{{"VM", "HOST", "SHADOW ON", "LEVEL", "FROM POOL", "ID"},
                                 [](const model::Record& record) -> std::vector<Cell> {
                                   const model::Vm vm = record.vm();
                                   const auto shadow = record.shadow();
                                   if (!shadow)
                                     return {vm.name.get(), vm.host.get(), Cell("-", Tone::faint), "-", "-", "-"};
                                   return {vm.name.get(),
                                           vm.host.get(),
                                           Cell(shadow->host.get(), Tone::good),
                                           std::string(model::to_string(shadow->level)),
                                           shadow->from_pool ? "yes" : "no",
                                           shadow->id.get()};
                                 }};
  return table;
}

shadow::Registries registries(Session& session) {
  return {session.shadows(), session.pool()};
}

/// The ready-made shadow on `target` that fits the VM; nothing where the pool has none.
std::optional<ports::PoolRow> pooled_for(Session& session, const model::Vm& vm, const model::HostName& target) {
  const auto domain = session.hypervisors().at(vm.host).find(vm.name);
  return domain ? pooled_for(session, *domain, target) : std::nullopt;
}

model::HostName target_of(Session& session, const ShadowOptions& options, const model::Record& record) {
  if (!options.on.empty()) return session.config().host(model::HostName(options.on)).name;
  if (!record.placement()) {
    if (const auto row = shadow_row_of(session, record.vm())) return row->host;
  }
  return need_placement(session, record).host;
}

void ensure_one(Session& session, const ShadowOptions& options, model::Record& record) {
  const model::Vm vm = record.vm();
  const auto lease = take_lease(session, vm.name);
  primary_of(session, vm);  // a record may be older than the VM's last move
  const model::HostName target = target_of(session, options, record);
  const shadow::EnsureRequest request{vm.name, vm.host, target, session.config().host(target).networks,
                                      pooled_for(session, vm, target)};
  const ports::Context context = context_of(session);
  if (session.common().dry_run) {
    const shadow::EnsurePlan plan = shadow::plan(context, registries(session), request);
    const auto row = shadow_row_of(session, vm);
    const bool kept = plan.exists && row && row->id == plan.id;
    record.set(model::ShadowSection{plan.id, plan.host, kept ? row->level : model::ShadowLevel::defined,
                                    kept ? row->from_pool : plan.from_pool.has_value()});
    base::log(base::Level::info, fmt::format("shadow: {}: would {} on {}", vm.name.get(),
                                             plan.exists      ? "keep the shadow"
                                             : plan.from_pool ? "claim a pooled shadow"
                                                              : "make a shadow",
                                             plan.host.get()));
    return;
  }
  const shadow::EnsureResult made = shadow::ensure(context, registries(session), request);
  say_notes("shadow", vm.name, made.notes);
  record.set(model::ShadowSection{made.row.id, made.row.host, made.row.level, made.row.from_pool});
}

void drop_one(Session& session, const model::VmName& vm, bool forget) {
  const auto lease = take_lease(session, vm);
  const auto row = session.shadows().find(vm);
  if (session.common().dry_run) {
    if (!row)
      throw base::Error(base::Kind::not_found, fmt::format("{} has no shadow", vm.get()),
                        "`umbra shadow list` lists them");
    shadow::check_drop(context_of(session), *row, forget);
    base::log(base::Level::info,
              fmt::format("shadow: {}: would drop the shadow on {} with its points", vm.get(), row->host.get()));
    return;
  }
  say_notes("shadow", vm, shadow::drop(context_of(session), registries(session), {vm, forget}).notes);
  base::log(base::Level::info, fmt::format("shadow: {}: dropped{}", vm.get(), row ? " from " + row->host.get() : ""));
}

void rehearse_one(Session& session, const ShadowOptions& options, model::Record& record) {
  const model::Vm vm = record.vm();
  const model::ShadowSection section = need_shadow(session, record);
  record.set(section);
  const auto lease = take_lease(session, vm.name);
  const shadow::RehearseRequest request{vm.name, section.host, section.id, options.watch.value_or(base::Seconds{10})};
  if (session.common().dry_run) {
    const model::PointInfo point = shadow::plan_rehearsal(context_of(session), request);
    base::log(base::Level::info, fmt::format("shadow: {}: would resume point {} of {} on {}, cables out", vm.name.get(),
                                             point.number.value, base::to_rfc3339(point.taken_at), section.host.get()));
    record.set_extra("rehearsal_plan", {{"point", point.number.value}, {"taken_at", base::to_rfc3339(point.taken_at)}});
    return;
  }
  const shadow::Rehearsal seen = shadow::rehearse(context_of(session), request);
  model::Json json = {{"point", seen.point.value},
                      {"taken_at", base::to_rfc3339(seen.taken_at)},
                      {"resumed_in_s", seen.resumed_in_s},
                      {"watched_s", seen.watched_s},
                      {"looks", seen.looks},
                      {"looks_running", seen.looks_running},
                      {"agent_answers", seen.agent_answers},
                      {"passed", seen.passed()}};
  if (seen.uptime_first_s && seen.uptime_last_s)
    json["uptime_s"] = {{"first", *seen.uptime_first_s}, {"last", *seen.uptime_last_s}};
  if (seen.processes)
    json["processes"] = {{"kept", seen.processes->kept},
                         {"gone", seen.processes->gone.size()},
                         {"started", seen.processes->started.size()}};
  record.set_extra("rehearsal", json);
  remember(session, record, "rehearsal");
  if (!seen.passed())
    throw base::Error(base::Kind::io,
                      fmt::format("the rehearsal of point {} failed: running at {} of {} looks", seen.point.value,
                                  seen.looks_running, seen.looks),
                      "make a fresh point with `umbra sync`, then rehearse again");
  base::log(base::Level::info,
            fmt::format("shadow: {}: point {} was resumed in {:.1f} s and ran {:.0f} s with its cables out",
                        vm.name.get(), seen.point.value, seen.resumed_in_s, seen.watched_s));
}

int list_shadows(Session& session) {
  Listing listing(session.out(), {"VM", "PRIMARY ON", "SHADOW ON", "LEVEL", "POINT", "TAKEN AT", "ID"});
  for (const ports::ShadowRow& row : session.shadows().all()) {
    model::Record record(model::Vm{row.vm, row.vm_uuid, row.primary_host, session.config().policy(row.vm).priority});
    record.set(model::ShadowSection{row.id, row.host, row.level, row.from_pool});
    if (row.replica) record.set(replica_by_now(session, *row.replica));
    listing.add(record.json(),
                {row.vm.get(), row.primary_host.get(), row.host.get(), std::string(model::to_string(row.level)),
                 row.replica ? std::to_string(row.replica->point.value) : "-",
                 row.replica ? base::to_rfc3339(row.replica->taken_at) : "-", row.id.get()});
  }
  listing.finish();
  return exit_done;
}

/// Shadows are dropped by name: their VM need not run, nor exist.
int drop_named(Session& session, bool forget) {
  std::vector<base::Kind> failures;
  std::size_t done = 0;
  const auto& named = session.common().operands;
  if (named.empty() || std::ranges::count(named, "-") > 0)
    throw base::Error(base::Kind::usage, "--drop needs the names of VMs", "see which have a shadow: umbra shadow list");
  for (const std::string& name : session.common().operands) {
    try {
      drop_one(session, model::VmName(name), forget);
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "shadow", name);
      failures.push_back(error.kind());
    }
  }
  return status_of(failures, done);
}

void check_options(const ShadowOptions& options) {
  using base::Kind;
  if (options.drop && options.rehearse)
    throw base::Error(Kind::usage, "--drop and --rehearse exclude each other", "give one");
  if ((options.drop || options.rehearse) && !options.on.empty())
    throw base::Error(Kind::usage, "--on says where a shadow is made: it goes with neither --drop nor --rehearse",
                      "leave it out: a VM has one shadow");
  if (options.watch && !options.rehearse)
    throw base::Error(Kind::usage, "--watch goes with --rehearse alone", "umbra shadow VM --rehearse --watch 10s");
  if (options.forget && !options.drop)
    throw base::Error(Kind::usage, "--forget goes with --drop alone", "umbra shadow VM --drop --forget");
  check_options(options.points);
}

int run_shadow(Session& session, const ShadowOptions& options) {
  check_options(options);
  const auto& operands = session.common().operands;
  const bool listing = !operands.empty() && (operands[0] == "list" || operands[0] == "points");
  const bool on = !options.on.empty();
  if (listing && (options.drop || options.rehearse || (on && operands[0] == "list")))
    throw base::Error(base::Kind::usage,
                      fmt::format("`umbra shadow {}` goes without --drop{}", operands[0],
                                  operands[0] == "list" ? ", --rehearse and --on" : " and --rehearse"));
  if (operands.size() == 1 && operands[0] == "list" && !options.points.any()) return list_shadows(session);
  if (operands.size() == 2 && operands[0] == "points")
    return run_points(session, model::VmName(operands[1]), options.points);
  if (listing)
    throw base::Error(base::Kind::usage, "it is `umbra shadow list` or `umbra shadow points VM`",
                      "a VM of such a name is given by a record: umbra place VM | umbra shadow -");
  if (options.points.any())
    throw base::Error(base::Kind::usage,
                      "--verify, --export, --retain, --point and --into go with `umbra shadow points VM`");
  if (options.drop) return drop_named(session, options.forget);
  return for_each_vm(session, "shadow", shadow_table(), [&](model::Record& record) {
    options.rehearse ? rehearse_one(session, options, record) : ensure_one(session, options, record);
  });
}

}  // namespace

Verb shadow_verb() {
  auto options = std::make_shared<ShadowOptions>();
  Verb verb;
  verb.name = "shadow";
  verb.summary = "Set up, rehearse, list or drop the shadow of a VM";
  verb.text =
      "A shadow is a domain that is defined, off and not started by itself on another host, with a folder of restore "
      "points.\n"
      "The host is the placement's, or --on. A fitting shadow of the pool is taken first. Run again, it changes "
      "nothing.\n"
      "`umbra shadow list` lists the shadows, `umbra shadow points VM` the restore points of one. Points that --verify "
      "or "
      "a pass\n"
      "finds to be damaged are never activated; the next pass repairs the shadow, and sends what differs alone.\n"
      "Those of sources (umbra replicate --source --name NAME, umbra receive) are `umbra shadow points NAME` where "
      "their last pass was run, and elsewhere with --into DIR or --on HOST.";
  verb.actions = {"list", "points"};
  verb.changes = true;
  verb.options = {
      {"--on", "HOST", "make it on this host; points NAME: of sources, on this configured host", "the placement's",
       [options](const std::string& text) { options->on = options->points.on = text; }},
      {"--rehearse", "", "resume the newest point that has memory, cables out, and throw it away", "",
       set_flag(options->rehearse)},
      {"--watch", "DURATION", "with --rehearse: how long to watch", "10s", set_duration("--watch", options->watch)},
      {"--drop", "", "take the shadow away, with its points", "", set_flag(options->drop)},
      {"--forget", "",
       "with --drop: also where its host is gone for good, or nothing is on record but the VM's own tag; what lies "
       "there "
       "stays",
       "", set_flag(options->forget)},
      {"--verify", "", "points VM: read everything back and name each damaged place; exit 1 where there is one", "",
       set_flag(options->points.verify)},
      {"--export", "PATH",
       "points VM: write a point's disks there on the shadow's host, as plain qcow2: a folder, or a file for one disk",
       "", set_text(options->points.export_to)},
      {"--point", "N", "with --verify, --export: this point", "every point; the newest sound one",
       set_count("--point", options->points.point, 1)},
      {"--retain", "N", "points VM: merge the oldest until N are left", "",
       set_count("--retain", options->points.retain, 1)},
      {"--retain-for", "DURATION", "with --retain: and those that are older, but for the newest sound one", "",
       set_duration("--retain-for", options->points.retain_for)},
      {"--into", "DIR", "points NAME: of sources, in this folder of this machine",
       "where their last pass from here put them", set_text(options->points.into)},
  };
  verb.examples = {"umbra place web1 | umbra shadow -",
                   "umbra shadow web1 --on beta",
                   "umbra shadow web1 --rehearse",
                   "umbra shadow points web1",
                   "umbra shadow points web1 --verify",
                   "umbra shadow points web1 --export /var/tmp --point 3",
                   "umbra shadow points db --into /srv/points --verify"};
  verb.run = [options](Session& session) { return run_shadow(session, *options); };
  return verb;
}

}  // namespace umbra::cmd
