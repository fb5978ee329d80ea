// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/database.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

#include "adapters/store/schema.hpp"
#include "adapters/store/state_dir.hpp"
#include "base/log.hpp"

namespace umbra::store {
namespace {

/// How long a call waits for another process's transaction.
constexpr base::Millis busy_limit{10000};
/// One page. SQLite takes what is less for a new one; its own are made empty, and get a page at once.
constexpr std::uintmax_t smallest_database = 512;

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
  refuse_what_was_damaged();
  // A reader opens for writing too where it may: only then does SQLite tidy its side files away at the end.
  // Without a mutex of its own, which each of its many small calls would take: read() has one.
  m_connection.emplace(m_file.string(),
                       SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX | (writable ? SQLite::OPEN_CREATE : 0),
                       static_cast<int>(busy_limit.count()));
  SQLite::Database& db = *m_connection;
  if (!writable) db.exec("PRAGMA query_only = ON");
  const Schema schema = inspect(db, m_file.string());
  refuse_half_a_page(db);
  cut_torn_log();
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
  // A log that is begun anew keeps nothing of the old one behind its first commit: each further write is at the file's
  // end, where one that is cut off can be told from one that was damaged.
  db.exec("PRAGMA journal_size_limit = 0");
  db.exec("PRAGMA foreign_keys = ON");
  if (schema == Schema::older) migrate(db);
}

namespace {

std::filesystem::path beside(const std::filesystem::path& file, const char* end) {
  return file.string() + end;
}

base::Error damaged_log(const std::filesystem::path& log, const LogTail& tail) {
  return {base::Kind::corrupt,
          fmt::format("the log of the state database is damaged: {} is whole up to byte {} of {}", log.string(),
                      tail.committed, tail.size),
          fmt::format("see with virsh on each host which VMs run; where the machine lost power in the middle of a "
                      "write, that was never acknowledged: truncate -s {} {}",
                      tail.committed, log.string())};
}

/// Whether the log stays so while nobody else writes to it.
bool stays_damaged(SQLite::Database& db, const std::filesystem::path& log) {
  SQLite::Transaction alone(db, SQLite::TransactionBehavior::IMMEDIATE);
  return look_at_log(log).state == LogState::damaged;
}

}  // namespace

base::Error Database::cut_database(std::uintmax_t size) const {
  return {base::Kind::corrupt,
          fmt::format("the state database is damaged: {} was cut to {} bytes", m_file.string(), size),
          how_to_begin_anew()};
}

/// SQLite reads the missing end as zeroes. With a log, the page may lie there whole.
void Database::refuse_half_a_page(SQLite::Database& db) const {
  const auto page = static_cast<std::uintmax_t>(db.execAndGet("PRAGMA page_size").getInt64());
  const std::uintmax_t size = std::filesystem::file_size(m_file);
  if (size % page != 0 && look_at_log(beside(m_file, "-wal")).size == 0) throw cut_database(size);
}

/// What SQLite would pass over in silence, and overwrite.
void Database::refuse_what_was_damaged() {
  const std::filesystem::path log = beside(m_file, "-wal");
  const LogTail tail = look_at_log(log);
  std::error_code absent;
  const std::uintmax_t size = std::filesystem::file_size(m_file, absent);
  if (!absent && size < smallest_database && (size > 0 || tail.size > 0)) throw cut_database(size);
  if (tail.state != LogState::damaged) return;
  if (std::filesystem::exists(beside(m_file, "-shm"))) {
    // Another process may be writing just now.
    SQLite::Database db(m_file.string(), SQLite::OPEN_READWRITE, static_cast<int>(busy_limit.count()));
    sqlite3_db_config(db.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    if (!stays_damaged(db, log)) return;
  }
  throw damaged_log(log, tail);
}

/// Of a process or a machine that died while it wrote. Where another writes just now, the end is that one's.
void Database::cut_torn_log() {
  const std::filesystem::path log = beside(m_file, "-wal");
  if (look_at_log(log).state != LogState::torn) return;
  LogTail tail;
  try {
    m_connection->setBusyTimeout(0);
    SQLite::Transaction alone(*m_connection, SQLite::TransactionBehavior::IMMEDIATE);
    tail = look_at_log(log);
  } catch (const SQLite::Exception&) {
  }
  m_connection->setBusyTimeout(static_cast<int>(busy_limit.count()));
  if (tail.state != LogState::torn) return;
  const bool cuts = m_access == Access::read_write;
  base::log(base::Level::warning,
            fmt::format("{} ended within a write that was never acknowledged: its last {} bytes are {}", log.string(),
                        tail.size - tail.committed, cuts ? "cut off" : "passed over"));
  if (cuts) m_connection->exec("PRAGMA wal_checkpoint(TRUNCATE)");
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

std::string Database::how_to_begin_anew() const {
  return fmt::format(
      "see with virsh on each host which VMs run, then move it away (mkdir {0}/damaged; mv {0}/umbra.db* {0}/damaged): "
      "Umbra starts a new one; history is lost, no VM's data",
      m_dir.string());
}

base::Error Database::translate(const SQLite::Exception& error) const {
  using base::Error;
  using base::Kind;
  const std::string file = m_file.string();
  const std::string told = fmt::format("{}: {}", file, error.what());
  switch (error.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // Umbra's statements are right: the tables are not what they are made for
      return Error(Kind::corrupt, fmt::format("the state database is damaged: {}", told), how_to_begin_anew());
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
