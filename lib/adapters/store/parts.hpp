// SPDX-License-Identifier: Apache-2.0
#pragma once
// The ports of a store, each over the same connection. Inside this folder only.

#include "adapters/store/database.hpp"
#include "ports/store.hpp"

namespace umbra::store {

class SqliteHistory final : public ports::HistoryStore {
 public:
  explicit SqliteHistory(Database& database) : m_database(database) {}
  void append(std::span<const ports::SampleRow> rows) override;
  model::Series series(const model::Uuid& uuid, base::Instant since) override;
  void each_series(base::Instant since, const std::function<void(model::Series&&)>& each) override;
  void each_of(std::span<const model::Uuid> uuids, base::Instant since,
               const std::function<void(std::size_t which, Unpack)>& each) override;
  std::vector<model::Counters> last_counters() override;
  void put_counters(std::span<const model::Counters> counters) override;
  void tidy(base::Instant now, const ports::Retention& retention) override;

 private:
  void forget_older(base::Instant oldest);
  void pack_rows(base::Instant now);
  void make_coarser(base::Instant now);
  void forget_beyond(model::ByteCount max_size);
  Database& m_database;
};

class SqliteShadows final : public ports::ShadowRegistry {
 public:
  explicit SqliteShadows(Database& database) : m_database(database) {}
  void put(const ports::ShadowRow& row) override;
  std::optional<ports::ShadowRow> find(const model::VmName& vm) override;
  std::vector<ports::ShadowRow> all() override;
  void remove(const model::Uuid& vm_uuid) override;

 private:
  Database& m_database;
};

class SqlitePool final : public ports::PoolRegistry {
 public:
  explicit SqlitePool(Database& database) : m_database(database) {}
  void put(const ports::PoolRow& row) override;
  std::vector<ports::PoolRow> all() override;
  bool take(const model::ShadowId& id) override;

 private:
  Database& m_database;
};

class SqliteLedger final : public ports::Ledger {
 public:
  explicit SqliteLedger(Database& database) : m_database(database) {}
  /// Keeps the newest 1,000 per VM and section.
  void add_sections(std::span<const ports::LedgerRow> rows) override;
  std::optional<std::string> last_section(const model::Uuid& vm, std::string_view section) override;
  std::vector<std::string> sections(const model::Uuid& vm, std::string_view section, unsigned most) override;
  void tidy(base::Instant now, const ports::Retention& retention) override;

 private:
  Database& m_database;
};

class SqliteModels final : public ports::ModelStore {
 public:
  explicit SqliteModels(Database& database) : m_database(database) {}
  void put(const ports::SiteModel& model, std::span<const std::byte> file) override;
  std::vector<ports::SiteModel> all() override;
  std::optional<std::vector<std::byte>> in_use() override;
  std::optional<ports::SiteModel> step_back() override;

 private:
  Database& m_database;
};

/// Kind::corrupt from each call where what is read is not what was written: each row has a digest, and the tables are
/// looked through, with their indices, at the first call.
class SqliteJournal final : public ports::Journal {
 public:
  explicit SqliteJournal(Database& database) : m_database(database) {}
  /// Kind::interrupted where the VM has a walk that is still open.
  std::int64_t open_walk(const ports::Walk& walk) override;
  /// Kind::internal for a walk that is not open: what was closed stays as it is.
  void append(std::int64_t walk, const ports::JournalEntry& entry) override;
  std::vector<ports::JournalEntry> entries(std::int64_t walk) override;
  void close_walk(std::int64_t walk, const std::string& state) override;
  std::vector<ports::Walk> open_walks() override;
  std::vector<ports::Walk> walks(const model::Uuid& vm) override;
  model::Epoch epoch(const model::Uuid& vm) override;
  void raise_epoch(const model::Uuid& vm, model::Epoch epoch) override;

 private:
  template <class Act>
  auto read(Act&& act);
  template <class Act>
  void write(Act&& act);
  void check_tables(SQLite::Database& db);
  std::vector<ports::Walk> walks_from(Query& row) const;
  model::Epoch epoch_in(SQLite::Database& db, const model::Uuid& vm) const;
  base::Error damaged(const std::string& what) const;
  void require(const std::string& digest, const std::string& written, const std::string& what) const;
  Database& m_database;
  bool m_checked = false;
};

}  // namespace umbra::store
