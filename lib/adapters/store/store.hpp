// SPDX-License-Identifier: Apache-2.0
#pragma once
// The state on disk: one SQLite database, umbra.db in the state folder. Gives the ports of ports/store.hpp, each in a
// file of its own; schema.cpp holds the schema as a list of numbered migrations, tiers.hpp how the history grows
// coarser. May touch the state folder and nothing else. Several processes, and threads of one, may use it at once.

#include <filesystem>
#include <memory>

#include "ports/store.hpp"

namespace umbra::store {

enum class Access {
  read_write,
  /// For dry runs: every write is Kind::refused. Where there is no database yet, an empty one in memory stands in
  /// for it, and the folder is not made.
  read_only,
};

class SqliteStore {
 public:
  /// Opens `state_dir`/umbra.db; the folder and the database are made where they are absent, an older schema is brought
  /// up to date. Kind::unsupported for a newer schema, Kind::corrupt for a file that is no sound database of Umbra:
  /// both leave it untouched.
  explicit SqliteStore(const std::filesystem::path& state_dir, Access access = Access::read_write);
  ~SqliteStore();
  SqliteStore(SqliteStore&&) noexcept;
  SqliteStore& operator=(SqliteStore&&) noexcept;

  ports::HistoryStore& history();
  ports::ShadowRegistry& shadows();
  ports::PoolRegistry& pool();
  ports::Ledger& ledger();
  ports::Journal& journal();
  ports::ModelStore& models();

 private:
  struct Ports;
  std::unique_ptr<Ports> m_ports;
};

}  // namespace umbra::store
