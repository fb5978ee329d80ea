// SPDX-License-Identifier: Apache-2.0
// umbra pool: ready-made shadows, so that the start is instant.
#include "pool/pool.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/log.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/features.hpp"
#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"
#include "shadow/shadow.hpp"

namespace umbra::cmd {
namespace {

/// The folder on the host is held under this name until a VM claims it.
const model::VmName pooled_vm{"(pool)"};

/// Sizes set by `pool resize` are kept under this key and outlive the run; they win over the configuration.
model::Uuid size_key(const std::string& flavour) {
  return model::Uuid("flavour:" + flavour);
}

std::vector<model::Flavour> flavours(Session& session) {
  std::vector<model::Flavour> all = session.config().pool;
  for (model::Flavour& flavour : all) {
    if (const auto text = session.ledger().last_section(size_key(flavour.name), "pool_size"))
      flavour.count = model::Json::parse(*text).at("count").get<unsigned>();
  }
  return all;
}

model::ShadowId fresh_id(const std::string& flavour, const std::vector<ports::PoolRow>& rows) {
  for (unsigned n = 1;; ++n) {
    model::ShadowId id(fmt::format("pool-{}-{:03}", flavour, n));
    if (std::none_of(rows.begin(), rows.end(), [&](const ports::PoolRow& row) { return row.id == id; })) return id;
  }
}

std::vector<model::Part> parts_of(const model::Flavour& flavour) {
  std::vector<model::Part> parts;
  for (std::size_t i = 0; i < flavour.disks.size(); ++i)
    parts.push_back({model::DiskName(fmt::format("vd{}", static_cast<char>('a' + i))), flavour.disks[i]});
  return parts;
}

void make_one(Session& session, const model::Flavour& flavour, const ports::PoolRow& row) {
  if (session.common().dry_run) {
    base::log(base::Level::info, fmt::format("pool: would make {} on {}", row.id.get(), row.host.get()));
    return;
  }
  const auto far = session.transport().connect(row.host);
  far->drop(row.id);  // what a run that was cut off left under that name: no row tells of it
  far->create(row.id, pooled_vm, parts_of(flavour));
  session.pool().put(row);
  base::log(base::Level::info, fmt::format("pool: made {} on {}", row.id.get(), row.host.get()));
}

void drop_one(Session& session, const ports::PoolRow& row) {
  if (session.common().dry_run) {
    base::log(base::Level::info, fmt::format("pool: would drop {} on {}", row.id.get(), row.host.get()));
    return;
  }
  const auto far = session.transport().connect(row.host);
  // Taken first: a shadow that another run claims meanwhile must not be dropped under it.
  if (!session.pool().take(row.id)) return;
  far->drop(row.id);
  base::log(base::Level::info, fmt::format("pool: dropped {} on {}", row.id.get(), row.host.get()));
}

int fill(Session& session) {
  std::vector<ports::PoolRow> rows = session.pool().all();
  const pool::Plan plan = pool::fill_plan(flavours(session), rows);
  std::vector<base::Kind> failures;
  std::size_t done = 0;
  const auto each = [&](const ports::PoolRow& row, const auto& act) {
    session.cancel().check();
    try {
      act();
      ++done;
    } catch (const base::Error& error) {
      print_error(error, "pool", fmt::format("{} on {}", row.id.get(), row.host.get()));
      failures.push_back(error.kind());
    }
  };
  for (const model::Flavour& flavour : plan.create) {
    for (unsigned n = 0; n < flavour.count; ++n) {
      const ports::PoolRow row{fresh_id(flavour.name, rows), flavour.name, flavour.host};
      rows.push_back(row);
      each(row, [&] { make_one(session, flavour, row); });
    }
  }
  for (const ports::PoolRow& row : plan.drop) each(row, [&] { drop_one(session, row); });
  return status_of(failures, done);
}

int list(Session& session) {
  const std::vector<ports::PoolRow> rows = session.pool().all();
  Listing listing(session.out(), {"FLAVOUR", "HOST", "READY", "WANTED", "MEMORY", "DISKS"});
  for (const model::Flavour& flavour : flavours(session)) {
    std::vector<std::string> ids;
    for (const ports::PoolRow& row : rows) {
      if (row.flavour == flavour.name && row.host == flavour.host) ids.push_back(row.id.get());
    }
    std::string disks;
    std::vector<std::uint64_t> sizes;
    for (const model::ByteCount size : flavour.disks) {
      disks += (disks.empty() ? "" : " + ") + human_bytes(size.value);
      sizes.push_back(size.value);
    }
    const Tone tone = ids.size() < flavour.count ? Tone::warn : Tone::good;
    listing.add({{"flavour", flavour.name},
                 {"host", flavour.host.get()},
                 {"ready", ids},
                 {"wanted", flavour.count},
                 {"memory_bytes", flavour.memory.value},
                 {"disk_bytes", sizes}},
                {flavour.name, flavour.host.get(), Cell(std::to_string(ids.size()), tone),
                 std::to_string(flavour.count), human_bytes(flavour.memory.value), disks});
  }
  listing.finish();
  return exit_done;
}

/// The VM's shadow, out of the pool or not at all.
void claim(Session& session, const model::VmName& vm) {
  const Located located = locate(session, vm);
  const model::Record record = record_of(session, located);
  const model::HostName target = need_placement(session, record).host;
  const auto row = pooled_for(session, located.domain, target);
  if (!row) {
    throw base::Error(
        base::Kind::not_found, fmt::format("no ready-made shadow on {} fits {}", target.get(), vm.get()),
        fmt::format("`umbra pool list` shows what is there; `umbra shadow {}` makes one afresh", base::shell_word(vm)));
  }
  if (session.common().dry_run) {
    base::log(base::Level::info, fmt::format("pool: {} would get {}", vm.get(), row->id.get()));
    return;
  }
  const auto lease = take_lease(session, vm);
  if (const auto has = shadow_row_of(session, record.vm()))
    throw base::Error(base::Kind::refused, fmt::format("{} has a shadow on {} already", vm.get(), has->host.get()),
                      fmt::format("to give it one of the pool instead: umbra shadow {0} --drop && umbra pool claim {0}",
                                  base::shell_word(vm)));
  const auto made = shadow::ensure(context_of(session), {session.shadows(), session.pool()},
                                   {vm, located.host, target, session.config().host(target).networks, row});
  say_notes("pool", vm, made.notes);
  base::log(base::Level::info, fmt::format("pool: {}: claimed {} on {}", vm.get(), row->id.get(), target.get()));
}

/// The VM's shadow is dropped, and the pool filled up again.
int release(Session& session, const model::VmName& vm) {
  if (session.common().dry_run) {
    base::log(base::Level::info, fmt::format("pool: would drop the shadow of {} and fill up", vm.get()));
    return exit_done;
  }
  const auto lease = take_lease(session, vm);
  say_notes("pool", vm, shadow::drop(context_of(session), {session.shadows(), session.pool()}, {vm}).notes);
  return fill(session);
}

int resize(Session& session, const std::string& name, const std::string& text) {
  const auto& known = session.config().pool;
  if (std::none_of(known.begin(), known.end(), [&](const model::Flavour& f) { return f.name == name; }))
    throw base::Error(base::Kind::not_found, fmt::format("no flavour is named \"{}\"", name),
                      "`umbra pool list` lists them; add a [pool.NAME] table for another");
  unsigned count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size() || count > 10000)
    throw base::Error(base::Kind::usage, fmt::format("a pool holds 0 to 10000 shadows, not \"{}\"", text));
  if (session.common().dry_run) {
    base::log(base::Level::info, fmt::format("pool: {} would hold {}", name, count));
    return exit_done;
  }
  session.ledger().add_section(size_key(name), "pool_size", model::Json{{"count", count}}.dump(),
                               session.clock().now());
  return fill(session);
}

int run_pool(Session& session) {
  const auto& words = session.common().operands;
  const std::string action = words.empty() ? "" : words[0];
  if (action == "list" && words.size() == 1) return list(session);
  if (action == "fill" && words.size() == 1) return fill(session);
  if (action == "release" && words.size() == 2) return release(session, model::VmName(words[1]));
  if (action == "resize" && words.size() == 3) return resize(session, words[1], words[2]);
  if (action == "claim" && words.size() == 2) {
    claim(session, model::VmName(words[1]));
    return exit_done;
  }
  throw base::Error(base::Kind::usage, "it takes one of: list, fill, claim VM, release VM, resize FLAVOUR COUNT",
                    "umbra pool --help");
}

}  // namespace

Verb pool_verb() {
  Verb verb;
  verb.name = "pool";
  verb.summary = "Keep ready-made shadows: list, fill, claim, release, resize";
  verb.text =
      "Flavours are [pool.NAME] tables of the configuration. `fill` makes what is missing and drops what is over; "
      "`claim VM` gives\n"
      "a VM one of them (so does `umbra shadow`, where one fits); `release VM` drops the VM's shadow and fills up "
      "again;\n"
      "`resize FLAVOUR COUNT` changes how many are kept.";
  verb.operands = Operands::words;
  verb.actions = {"list", "fill", "claim", "release", "resize"};
  verb.changes = true;
  verb.examples = {"umbra pool fill", "umbra pool list -o table", "umbra pool resize small 4"};
  verb.run = run_pool;
  return verb;
}

}  // namespace umbra::cmd
