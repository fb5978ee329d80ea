// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/store.hpp"

#include "adapters/store/parts.hpp"

namespace umbra::store {

struct SqliteStore::Ports {
  Ports(const std::filesystem::path& state_dir, Access access) : database(state_dir, access) {}
  Database database;
  SqliteHistory history{database};
  SqliteShadows shadows{database};
  SqlitePool pool{database};
  SqliteLedger ledger{database};
  SqliteJournal journal{database};
  SqliteModels models{database};
};

SqliteStore::SqliteStore(const std::filesystem::path& state_dir, Access access)
    : m_ports(std::make_unique<Ports>(state_dir, access)) {}
SqliteStore::~SqliteStore() = default;
SqliteStore::SqliteStore(SqliteStore&&) noexcept = default;
SqliteStore& SqliteStore::operator=(SqliteStore&&) noexcept = default;

ports::HistoryStore& SqliteStore::history() {
  return m_ports->history;
}
ports::ShadowRegistry& SqliteStore::shadows() {
  return m_ports->shadows;
}
ports::PoolRegistry& SqliteStore::pool() {
  return m_ports->pool;
}
ports::Ledger& SqliteStore::ledger() {
  return m_ports->ledger;
}
ports::Journal& SqliteStore::journal() {
  return m_ports->journal;
}
ports::ModelStore& SqliteStore::models() {
  return m_ports->models;
}

}  // namespace umbra::store
