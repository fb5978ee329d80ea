// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "adapters/store/parts.hpp"

#include "base/digest.hpp"
#include "base/text.hpp"

namespace umbra::store {
namespace {

using base::Error;
using base::Kind;
using ports::StepPhase;

constexpr std::array<std::pair<StepPhase, const char*>, 3> phases{
    {{StepPhase::intent, "intent"}, {StepPhase::done, "done"}, {StepPhase::undone, "undone"}}};

std::string name_of(StepPhase phase) {
  for (const auto& [value, name] : phases) {
    if (value == phase) return name;
  }
  throw Error(Kind::internal, "a step's phase has no name");
}

/// Of a row's columns, each with its length, so that no two rows give the same text.
template <class... Columns>
std::string digest_of_columns(const Columns&... columns) {
  std::string text;
  ((text += fmt::format("{}:{};", fmt::formatted_size("{}", columns), columns)), ...);
  return base::sha256(std::as_bytes(std::span(text))).to_string();
}

std::string digest_of(const ports::Walk& walk) {
  return digest_of_columns(walk.kind, walk.vm.get(), walk.uuid.get(), walk.from.get(), walk.to.get(), walk.epoch.value,
                           walk.plan, walk.state, walk.started.time_since_epoch().count());
}

std::string digest_of(std::int64_t walk, const ports::JournalEntry& entry, const std::string& phase) {
  return digest_of_columns(walk, entry.step, phase, entry.data, entry.at.time_since_epoch().count());
}

constexpr const char* walk_columns = "id, kind, vm, uuid, from_host, to_host, epoch, plan, state, started, digest";

}  // namespace

template <class Act>
auto SqliteJournal::read(Act&& act) {
  return m_database.read([&](SQLite::Database& db) {
    check_tables(db);
    return act(db);
  });
}

template <class Act>
void SqliteJournal::write(Act&& act) {
  m_database.write([&](SQLite::Database& db) {
    check_tables(db);
    act(db);
  });
}

base::Error SqliteJournal::damaged(const std::string& what) const {
  return {Kind::corrupt, fmt::format("the journal of switchovers is damaged: {}", what),
          m_database.how_to_begin_anew()};
}

void SqliteJournal::require(const std::string& digest, const std::string& written, const std::string& what) const {
  if (!written.empty() && written != digest) throw damaged(what + " is not what was written");
}

void SqliteJournal::check_tables(SQLite::Database& db) {
  if (m_checked) return;
  for (const char* table : {"walks", "journal", "epochs"}) {
    Query look(db, fmt::format("PRAGMA integrity_check('{}')", table).c_str());
    if (look.next() && look.text(0) != "ok") throw damaged(fmt::format("table {}: {}", table, look.text(0)));
  }
  m_checked = true;
}

std::vector<ports::Walk> SqliteJournal::walks_from(Query& row) const {
  std::vector<ports::Walk> walks;
  while (row.next()) {
    ports::Walk& walk = walks.emplace_back();
    walk.id = row.number(0);
    walk.kind = row.text(1);
    walk.vm = model::VmName(row.text(2));
    walk.uuid = model::Uuid(row.text(3));
    walk.from = model::HostName(row.text(4));
    walk.to = model::HostName(row.text(5));
    walk.epoch = model::Epoch{row.count(6)};
    walk.plan = row.text(7);
    walk.state = row.text(8);
    walk.started = row.time(9);
    require(digest_of(walk), row.text(10), fmt::format("walk {}", walk.id));
  }
  return walks;
}

model::Epoch SqliteJournal::epoch_in(SQLite::Database& db, const model::Uuid& vm) const {
  Query row(db, "SELECT epoch, digest FROM epochs WHERE uuid = ?");
  if (!row.bind(vm).next()) return {};
  const model::Epoch epoch{row.count(0)};
  require(digest_of_columns(vm.get(), epoch.value), row.text(1), fmt::format("the epoch of {}", vm.get()));
  return epoch;
}

std::int64_t SqliteJournal::open_walk(const ports::Walk& walk) {
  ports::Walk opened = walk;
  opened.state = "open";
  std::int64_t id = 0;
  write([&](SQLite::Database& db) {
    Query open(db, "SELECT kind FROM walks WHERE uuid = ?1 AND state = 'open' AND (kind = ?3 OR ?2 <> ?3)");
    if (open.bind(walk.uuid, walk.kind, std::string(ports::lost_host_kind)).next())
      throw Error(Kind::interrupted,
                  fmt::format("a {} of {} was interrupted and is still open", open.text(0), walk.vm.get()),
                  fmt::format("run: umbra switchover --recover {}", base::shell_word(walk.vm)));
    Query(db,
          "INSERT INTO walks (kind, vm, uuid, from_host, to_host, epoch, plan, state, started, digest) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(opened.kind, opened.vm, opened.uuid, opened.from, opened.to, opened.epoch, opened.plan, opened.state,
              opened.started, digest_of(opened))
        .exec();
    id = db.getLastInsertRowid();
  });
  return id;
}

void SqliteJournal::append(std::int64_t walk, const ports::JournalEntry& entry) {
  const std::string phase = name_of(entry.phase);
  write([&](SQLite::Database& db) {
    const int added = Query(db,
                            "INSERT INTO journal (walk, step, phase, data, at, digest) "
                            "SELECT id, ?2, ?3, ?4, ?5, ?6 FROM walks WHERE id = ?1 AND state = 'open'")
                          .bind(walk, entry.step, phase, entry.data, entry.at, digest_of(walk, entry, phase))
                          .exec();
    if (added != 1)
      throw Error(Kind::internal, fmt::format("the journal has no open walk {}: {} was not written", walk, entry.step));
  });
}

std::vector<ports::JournalEntry> SqliteJournal::entries(std::int64_t walk) {
  return read([&](SQLite::Database& db) {
    std::vector<ports::JournalEntry> entries;
    Query row(db, "SELECT id, step, phase, data, at, digest FROM journal WHERE walk = ? ORDER BY id");
    row.bind(walk);
    while (row.next()) {
      const std::string what = fmt::format("entry {} of walk {}", row.number(0), walk);
      const std::string name = row.text(2);
      const auto phase = std::ranges::find(phases, name, &std::pair<StepPhase, const char*>::second);
      if (phase == phases.end()) throw damaged(fmt::format("{} has the unknown phase {}", what, name));
      entries.push_back({row.text(1), phase->first, row.text(3), row.time(4)});
      require(digest_of(walk, entries.back(), name), row.text(5), what);
    }
    return entries;
  });
}

void SqliteJournal::close_walk(std::int64_t walk, const std::string& state) {
  if (state != "done" && state != "undone")
    throw Error(Kind::internal, fmt::format("a walk can't be closed as \"{}\"", state));
  write([&](SQLite::Database& db) {
    Query row(db, fmt::format("SELECT {} FROM walks WHERE id = ? AND state = 'open'", walk_columns).c_str());
    row.bind(walk);
    std::vector<ports::Walk> open = walks_from(row);
    if (open.empty()) throw Error(Kind::internal, fmt::format("the journal has no open walk {} to close", walk));
    open.front().state = state;
    Query(db, "UPDATE walks SET state = ?2, digest = ?3 WHERE id = ?1")
        .bind(walk, state, digest_of(open.front()))
        .exec();
  });
}

std::vector<ports::Walk> SqliteJournal::open_walks() {
  return read([&](SQLite::Database& db) {
    Query row(db, fmt::format("SELECT {} FROM walks WHERE state = 'open' ORDER BY id", walk_columns).c_str());
    return walks_from(row);
  });
}

std::vector<ports::Walk> SqliteJournal::walks(const model::Uuid& vm) {
  return read([&](SQLite::Database& db) {
    Query row(db, fmt::format("SELECT {} FROM walks WHERE uuid = ? ORDER BY id DESC", walk_columns).c_str());
    row.bind(vm);
    return walks_from(row);
  });
}

model::Epoch SqliteJournal::epoch(const model::Uuid& vm) {
  return read([&](SQLite::Database& db) { return epoch_in(db, vm); });
}

void SqliteJournal::raise_epoch(const model::Uuid& vm, model::Epoch epoch) {
  write([&](SQLite::Database& db) {
    const model::Epoch current = epoch_in(db, vm);
    if (epoch <= current)
      throw Error(
          Kind::refused,
          fmt::format("the epoch of VM {} is {} already; {} would not grow it", vm.get(), current.value, epoch.value),
          "another run activated this VM: look with umbra status");
    Query(db, "INSERT OR REPLACE INTO epochs (uuid, epoch, digest) VALUES (?, ?, ?)")
        .bind(vm, epoch, digest_of_columns(vm.get(), epoch.value))
        .exec();
  });
}

}  // namespace umbra::store
