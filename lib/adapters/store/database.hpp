// SPDX-License-Identifier: Apache-2.0
#pragma once
// One connection to umbra.db, shared by the ports of a store. Inside this folder only.

#include <SQLiteCpp/SQLiteCpp.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/store/log_tail.hpp"
#include "adapters/store/store.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "model/ids.hpp"

namespace umbra::store {

/// Bytes to bind, which must stay until the statement has run.
struct Blob {
  std::string_view bytes;
};

/// A prepared statement. bind() gives all its parameters at once and makes it ready to run again.
class Query {
 public:
  Query(SQLite::Database& database, const char* sql) : m_statement(database, sql) {}

  template <class... Args>
  Query& bind(const Args&... args) {
    m_statement.reset();
    int index = 0;
    (put(++index, args), ...);
    return *this;
  }
  /// The number of rows changed.
  int exec() { return m_statement.exec(); }
  /// Steps to the next row; false after the last.
  bool next() { return m_statement.executeStep(); }

  std::string text(int column) { return m_statement.getColumn(column).getString(); }
  /// Until the next step.
  std::string_view bytes(int column) {
    const SQLite::Column got = m_statement.getColumn(column);
    return {static_cast<const char*>(got.getBlob()), static_cast<std::size_t>(got.getBytes())};
  }
  std::int64_t number(int column) { return m_statement.getColumn(column).getInt64(); }
  std::uint64_t count(int column) { return static_cast<std::uint64_t>(number(column)); }
  double real(int column) { return m_statement.getColumn(column).getDouble(); }
  bool null(int column) { return m_statement.getColumn(column).isNull(); }
  base::Instant time(int column) { return base::Instant{base::Millis{number(column)}}; }
  std::optional<double> maybe_real(int column) { return null(column) ? std::nullopt : std::optional(real(column)); }
  std::optional<std::string> maybe_text(int column) {
    return null(column) ? std::nullopt : std::optional(text(column));
  }
  std::optional<model::ByteCount> maybe_bytes(int column) {
    return null(column) ? std::nullopt : std::optional(model::ByteCount{count(column)});
  }

 private:
  void put(int index, const std::string& value) { m_statement.bind(index, value); }
  void put(int index, Blob value) {
    m_statement.bindNoCopy(index, value.bytes.data(), static_cast<int>(value.bytes.size()));
  }
  void put(int index, double value) { m_statement.bind(index, value); }
  template <std::integral T>
  void put(int index, T value) {
    m_statement.bind(index, static_cast<std::int64_t>(value));
  }
  void put(int index, base::Instant value) { put(index, value.time_since_epoch().count()); }
  void put(int index, model::ByteCount value) { put(index, value.value); }
  void put(int index, model::Epoch value) { put(index, value.value); }
  template <class Tag>
  void put(int index, const base::Strong<Tag, std::string>& value) {
    m_statement.bind(index, value.get());
  }
  template <class T>
  void put(int index, const std::optional<T>& value) {
    if (value)
      put(index, *value);
    else
      m_statement.bind(index);
  }

  SQLite::Statement m_statement;
};

class Database {
 public:
  Database(const std::filesystem::path& state_dir, Access access);

  /// Runs `act(SQLite::Database&)` alone in this process; what SQLite throws becomes a base::Error.
  template <class Act>
  auto read(Act&& act) {
    const std::lock_guard alone(m_mutex);
    try {
      return act(*m_connection);
    } catch (const SQLite::Exception& e) {
      throw translate(e);
    }
  }

  /// The same in one transaction that holds the write lock from its start: all of it is on disk when this returns, or,
  /// where `act` throws, nothing of it ever is.
  template <class Act>
  void write(Act&& act) {
    refuse_if_read_only();
    read([&](SQLite::Database& db) {
      SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
      act(db);
      transaction.commit();
    });
  }

  /// For what is damaged beyond use.
  std::string how_to_begin_anew() const;

 private:
  void refuse_if_read_only() const;
  void open_file();
  void refuse_what_was_damaged();
  void refuse_half_a_page(SQLite::Database& db) const;
  base::Error cut_database(std::uintmax_t size) const;
  void cut_torn_log();
  void open_memory();
  base::Error translate(const SQLite::Exception& error) const;

  std::filesystem::path m_dir;
  std::filesystem::path m_file;
  Access m_access;
  std::optional<SQLite::Database> m_connection;
  std::mutex m_mutex;
};

}  // namespace umbra::store
