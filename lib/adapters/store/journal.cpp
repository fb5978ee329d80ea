// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <array>

#include "adapters/store/parts.hpp"

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

StepPhase phase_from(const std::string& text) {
  for (const auto& [value, name] : phases) {
    if (text == name) return value;
  }
  throw Error(Kind::corrupt, fmt::format("the journal holds an unknown phase: {}", text));
}

std::vector<ports::Walk> walks_from(Query& row) {
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
  }
  return walks;
}

constexpr const char* walk_columns = "id, kind, vm, uuid, from_host, to_host, epoch, plan, state, started";

}  // namespace

std::int64_t SqliteJournal::open_walk(const ports::Walk& walk) {
  std::int64_t id = 0;
  m_database.write([&](SQLite::Database& db) {
    Query open(db, "SELECT kind FROM walks WHERE uuid = ? AND state = 'open'");
    if (open.bind(walk.uuid).next())
      throw Error(Kind::interrupted,
                  fmt::format("a {} of {} was interrupted and is still open", open.text(0), walk.vm.get()),
                  fmt::format("run: umbra switchover --recover {}", base::shell_word(walk.vm)));
    Query(db,
          "INSERT INTO walks (kind, vm, uuid, from_host, to_host, epoch, plan, state, started) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)")
        .bind(walk.kind, walk.vm, walk.uuid, walk.from, walk.to, walk.epoch, walk.plan, walk.started)
        .exec();
    id = db.getLastInsertRowid();
  });
  return id;
}

void SqliteJournal::append(std::int64_t walk, const ports::JournalEntry& entry) {
  m_database.write([&](SQLite::Database& db) {
    const int added = Query(db,
                            "INSERT INTO journal (walk, step, phase, data, at) "
                            "SELECT id, ?2, ?3, ?4, ?5 FROM walks WHERE id = ?1 AND state = 'open'")
                          .bind(walk, entry.step, name_of(entry.phase), entry.data, entry.at)
                          .exec();
    if (added != 1)
      throw Error(Kind::internal, fmt::format("the journal has no open walk {}: {} was not written", walk, entry.step));
  });
}

std::vector<ports::JournalEntry> SqliteJournal::entries(std::int64_t walk) {
  return m_database.read([&](SQLite::Database& db) {
    std::vector<ports::JournalEntry> entries;
    Query row(db, "SELECT step, phase, data, at FROM journal WHERE walk = ? ORDER BY id");
    row.bind(walk);
    while (row.next()) entries.push_back({row.text(0), phase_from(row.text(1)), row.text(2), row.time(3)});
    return entries;
  });
}

void SqliteJournal::close_walk(std::int64_t walk, const std::string& state) {
  if (state != "done" && state != "undone")
    throw Error(Kind::internal, fmt::format("a walk can't be closed as \"{}\"", state));
  m_database.write([&](SQLite::Database& db) {
    if (Query(db, "UPDATE walks SET state = ?2 WHERE id = ?1 AND state = 'open'").bind(walk, state).exec() != 1)
      throw Error(Kind::internal, fmt::format("the journal has no open walk {} to close", walk));
  });
}

std::vector<ports::Walk> SqliteJournal::open_walks() {
  return m_database.read([](SQLite::Database& db) {
    Query row(db, fmt::format("SELECT {} FROM walks WHERE state = 'open' ORDER BY id", walk_columns).c_str());
    return walks_from(row);
  });
}

std::vector<ports::Walk> SqliteJournal::walks(const model::Uuid& vm) {
  return m_database.read([&](SQLite::Database& db) {
    Query row(db, fmt::format("SELECT {} FROM walks WHERE uuid = ? ORDER BY id DESC", walk_columns).c_str());
    row.bind(vm);
    return walks_from(row);
  });
}

model::Epoch SqliteJournal::epoch(const model::Uuid& vm) {
  return m_database.read([&](SQLite::Database& db) {
    Query row(db, "SELECT epoch FROM epochs WHERE uuid = ?");
    return row.bind(vm).next() ? model::Epoch{row.count(0)} : model::Epoch{};
  });
}

void SqliteJournal::raise_epoch(const model::Uuid& vm, model::Epoch epoch) {
  m_database.write([&](SQLite::Database& db) {
    Query known(db, "SELECT epoch FROM epochs WHERE uuid = ?");
    const model::Epoch current = known.bind(vm).next() ? model::Epoch{known.count(0)} : model::Epoch{};
    if (epoch <= current)
      throw Error(
          Kind::refused,
          fmt::format("the epoch of VM {} is {} already; {} would not grow it", vm.get(), current.value, epoch.value),
          "another run activated this VM: look with umbra status");
    Query(db, "INSERT OR REPLACE INTO epochs (uuid, epoch) VALUES (?, ?)").bind(vm, epoch).exec();
  });
}

}  // namespace umbra::store
