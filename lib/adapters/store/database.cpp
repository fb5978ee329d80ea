// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/database.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

#include "adapters/store/schema.hpp"
#include "adapters/store/state_dir.hpp"

namespace umbra::store {
namespace {

/// How long a call waits for another process's transaction.
constexpr base::Millis busy_limit{10000};

/// SQLite's switch to WAL does not wait for other connections as its other locks do.
void switch_to_wal(SQLite::Database& db) {
  const auto switched = [&] {
    try {
      db.exec("PRAGMA journal_mode = WAL");
      return true;
    } catch (const SQLite::Exception& e) {
      if (e.getErrorCode() != SQLITE_BUSY) throw;
      return false;
    }
  };
  if (!base::wait_until(base::system_clock(), busy_limit, base::Millis{10}, switched))
    db.exec("PRAGMA journal_mode = WAL");  // for its own error
}

}  // namespace

Database::Database(const std::filesystem::path& state_dir, Access access)
    : m_dir(state_dir.has_filename() ? state_dir : state_dir.parent_path()),
      m_file(m_dir / "umbra.db"),
      m_access(access) {
  try {
    if (access == Access::read_only && !std::filesystem::exists(m_file))
      open_memory();
    else
      open_file();
  } catch (const SQLite::Exception& e) {
    throw translate(e);
  }
}

void Database::open_file() {
  const bool writable = m_access == Access::read_write;
  if (writable) make_private_dir(m_dir);
  // A reader opens for writing too where it may: only then does SQLite tidy its side files away at the end.
  // Without a mutex of its own, which each of its many small calls would take: read() has one.
  m_connection.emplace(m_file.string(),
                       SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX | (writable ? SQLite::OPEN_CREATE : 0),
                       static_cast<int>(busy_limit.count()));
  SQLite::Database& db = *m_connection;
  if (!writable) db.exec("PRAGMA query_only = ON");
  const Schema schema = inspect(db, m_file.string());
  if (!writable) {
    if (schema != Schema::current)
      throw base::Error(base::Kind::refused,
                        fmt::format("{} has an older schema, which a dry run may not change", m_file.string()),
                        "run `umbra status` once, which brings it up to date");
    return;
  }
  switch_to_wal(db);
  // In WAL mode only FULL syncs the log at each commit; with less, the journal's promise would be a hope.
  db.exec("PRAGMA synchronous = FULL");
  db.exec("PRAGMA foreign_keys = ON");
  if (schema == Schema::older) migrate(db);
}

void Database::open_memory() {
  m_connection.emplace(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  migrate(*m_connection);
  m_connection->exec("PRAGMA query_only = ON");
}

void Database::refuse_if_read_only() const {
  if (m_access == Access::read_only)
    throw base::Error(base::Kind::refused, fmt::format("a dry run may not write to the state in {}", m_dir.string()));
}

base::Error Database::translate(const SQLite::Exception& error) const {
  using base::Error;
  using base::Kind;
  const std::string file = m_file.string();
  const std::string told = fmt::format("{}: {}", file, error.what());
  switch (error.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(
          Kind::corrupt, fmt::format("the state database is damaged: {}", told),
          fmt::format("move it away (mv {0} {0}.damaged): Umbra starts a new one; history is lost, no VM's data",
                      file));
    case SQLITE_FULL:
      return Error(Kind::no_space, fmt::format("no space left for the state database: {}", told),
                   fmt::format("free space on the file system of {}, then run the command again", m_dir.string()));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(Kind::busy, fmt::format("another process holds the state database: {}", told),
                   fmt::format("run the command again; `fuser -v {}` names the process", file));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Error(Kind::io, fmt::format("the state database can't be opened for writing: {}", told),
                   "run it as the user who owns the file, or choose another folder with --state DIR");
    default:
      return Error(Kind::io, fmt::format("the state database failed: {}", told));
  }
}

}  // namespace umbra::store
