// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/parts.hpp"

namespace umbra::store {

void SqlitePool::put(const ports::PoolRow& row) {
  m_database.write([&](SQLite::Database& db) {
    Query(db, "INSERT OR REPLACE INTO pool (id, flavour, host) VALUES (?, ?, ?)")
        .bind(row.id, row.flavour, row.host)
        .exec();
  });
}

std::vector<ports::PoolRow> SqlitePool::all() {
  return m_database.read([](SQLite::Database& db) {
    std::vector<ports::PoolRow> rows;
    Query row(db, "SELECT id, flavour, host FROM pool ORDER BY flavour, host, id");
    while (row.next()) rows.push_back({model::ShadowId(row.text(0)), row.text(1), model::HostName(row.text(2))});
    return rows;
  });
}

bool SqlitePool::take(const model::ShadowId& id) {
  bool taken = false;
  m_database.write(
      [&](SQLite::Database& db) { taken = Query(db, "DELETE FROM pool WHERE id = ?").bind(id).exec() == 1; });
  return taken;
}

}  // namespace umbra::store
