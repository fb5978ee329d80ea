// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/schema.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>

#include <array>

#include "base/error.hpp"

namespace umbra::store {
namespace {

/// "Umbr", so that file(1) and Umbra itself know whose database it is.
constexpr std::int64_t application_id = 0x556d6272;

// Times are milliseconds since 1970 UTC, sizes are bytes, fractions are 0..1. Samples are written to
// `samples`, some 40 bytes a row, found by series and time without an index beside it; after half an hour they move
// into packed `blocks` (tiers.hpp, block.hpp), one per series and slice of time.
constexpr std::array<Migration, 8> steps{{
    {"history", R"sql(
      CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        uuid TEXT NOT NULL UNIQUE,
        vm TEXT NOT NULL,
        host TEXT NOT NULL);
      CREATE TABLE samples (
        series INTEGER NOT NULL REFERENCES series (id),
        at INTEGER NOT NULL,
        cpu REAL, memory REAL, gpu REAL, gpu_memory REAL, net REAL, disk REAL,
        PRIMARY KEY (series, at)) WITHOUT ROWID;
      CREATE TABLE counters (
        subject TEXT PRIMARY KEY,  -- a VM's uuid, or host:NAME
        at INTEGER NOT NULL,
        host TEXT NOT NULL,
        vm TEXT NOT NULL,
        uuid TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        cpus REAL NOT NULL,
        cpu_s REAL, memory_total INTEGER, memory_used INTEGER, net_bytes INTEGER, disk_bytes INTEGER) WITHOUT ROWID;
    )sql"},
    {"shadows and the pool", R"sql(
      CREATE TABLE shadows (
        vm_uuid TEXT PRIMARY KEY,
        vm TEXT NOT NULL,
        id TEXT NOT NULL,
        primary_host TEXT NOT NULL,
        host TEXT NOT NULL,
        level TEXT NOT NULL,
        from_pool INTEGER NOT NULL,
        replica TEXT,  -- sections of the record, as JSON
        state TEXT) WITHOUT ROWID;
      CREATE INDEX shadows_by_vm ON shadows (vm);
      CREATE TABLE pool (
        id TEXT PRIMARY KEY,
        flavour TEXT NOT NULL,
        host TEXT NOT NULL) WITHOUT ROWID;
    )sql"},
    {"decisions and outcomes", R"sql(
      CREATE TABLE sections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        vm_uuid TEXT NOT NULL,
        section TEXT NOT NULL,
        at INTEGER NOT NULL,
        json TEXT NOT NULL);
      CREATE INDEX sections_by_vm ON sections (vm_uuid, section, id);
    )sql"},
    {"the switchover journal", R"sql(
      CREATE TABLE walks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        vm TEXT NOT NULL,
        uuid TEXT NOT NULL,
        from_host TEXT NOT NULL,
        to_host TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        plan TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'done', 'undone')),
        started INTEGER NOT NULL);
      CREATE UNIQUE INDEX one_open_walk_per_vm ON walks (uuid) WHERE state = 'open';
      CREATE INDEX walks_by_vm ON walks (uuid, id);
      CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        walk INTEGER NOT NULL REFERENCES walks (id),
        step TEXT NOT NULL,
        phase TEXT NOT NULL CHECK (phase IN ('intent', 'done', 'undone')),
        data TEXT NOT NULL,
        at INTEGER NOT NULL);
      CREATE INDEX journal_by_walk ON journal (walk, id);
      CREATE TABLE epochs (
        uuid TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL) WITHOUT ROWID;
    )sql"},
    {"packed history", R"sql(
      ALTER TABLE series ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;  -- the end of its newest slice
      CREATE TABLE slices (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tier INTEGER NOT NULL,
        start INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (tier, start));
      -- A slice lies in one piece, so that it is written and dropped as fast as the disk goes.
      CREATE TABLE blocks (
        key INTEGER PRIMARY KEY,  -- slice * 2^32 + series
        data BLOB NOT NULL);
    )sql"},
    {"forecast models", R"sql(
      CREATE TABLE models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        made INTEGER NOT NULL,
        name TEXT NOT NULL,
        trial TEXT NOT NULL,
        in_use INTEGER NOT NULL,
        file BLOB NOT NULL);
      CREATE UNIQUE INDEX one_model_in_use ON models (in_use) WHERE in_use = 1;
    )sql"},
    {"digests of the journal", R"sql(
      -- Of the other columns; empty: the row was written before there were any.
      ALTER TABLE walks ADD COLUMN digest TEXT NOT NULL DEFAULT '';
      ALTER TABLE journal ADD COLUMN digest TEXT NOT NULL DEFAULT '';
      ALTER TABLE epochs ADD COLUMN digest TEXT NOT NULL DEFAULT '';
    )sql"},
    {"walks for lost hosts beside interrupted ones", R"sql(
      DROP INDEX one_open_walk_per_vm;
      CREATE UNIQUE INDEX one_open_walk_per_vm ON walks (uuid, kind = 'from_point') WHERE state = 'open';
    )sql"},
}};

std::int64_t number(SQLite::Database& db, const char* sql) {
  return db.execAndGet(sql).getInt64();
}

}  // namespace

std::span<const Migration> migrations() {
  return steps;
}

Schema inspect(SQLite::Database& db, const std::string& file) {
  // One transaction, so that the three answers belong together while another process creates the schema.
  SQLite::Transaction snapshot(db);
  const std::int64_t version = number(db, "PRAGMA user_version");
  const std::int64_t owner = number(db, "PRAGMA application_id");
  const bool empty = number(db, "SELECT count(*) FROM sqlite_master") == 0;
  snapshot.commit();
  if (owner != application_id && !(owner == 0 && empty && version == 0))
    throw base::Error(base::Kind::corrupt, fmt::format("{} is no database of Umbra", file),
                      fmt::format("move it away (mv {0} {0}.other) or choose another folder with --state DIR", file));
  const auto latest = static_cast<std::int64_t>(steps.size());
  if (version > latest)
    throw base::Error(
        base::Kind::unsupported,
        fmt::format("{} was written by a newer Umbra: its schema is {}, this program knows {}", file, version, latest),
        "install that newer version of Umbra, or choose another folder with --state DIR");
  return version == latest ? Schema::current : Schema::older;
}

void migrate(SQLite::Database& db, std::size_t last) {
  SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
  // Read again under the lock: another process may have been first.
  const auto version = static_cast<std::size_t>(number(db, "PRAGMA user_version"));
  for (std::size_t step = version; step < last; ++step) {
    try {
      db.exec(steps[step].sql);
    } catch (const SQLite::Exception& e) {
      throw SQLite::Exception(fmt::format("schema step {} ({}): {}", step + 1, steps[step].what, e.what()),
                              e.getErrorCode());
    }
  }
  if (version < last) {
    db.exec(fmt::format("PRAGMA application_id = {}", application_id));
    db.exec(fmt::format("PRAGMA user_version = {}", last));
  }
  transaction.commit();
}

}  // namespace umbra::store
