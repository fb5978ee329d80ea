// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "adapters/store/parts.hpp"

namespace umbra::store {
namespace {

constexpr unsigned most_kept = 1000;

}  // namespace

void SqliteLedger::add_sections(std::span<const ports::LedgerRow> rows) {
  m_database.write([&](SQLite::Database& db) {
    Query add(db, "INSERT INTO sections (vm_uuid, section, at, json) VALUES (?, ?, ?, ?)");
    Query cut(db,
              "DELETE FROM sections WHERE vm_uuid = ?1 AND section = ?2 AND id <= "
              "(SELECT id FROM sections WHERE vm_uuid = ?1 AND section = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)");
    for (const ports::LedgerRow& row : rows) {
      add.bind(row.vm, row.section, row.at, row.json).exec();
      cut.bind(row.vm, row.section, most_kept).exec();
    }
  });
}

std::optional<std::string> SqliteLedger::last_section(const model::Uuid& vm, std::string_view section) {
  const auto newest = sections(vm, section, 1);
  if (newest.empty()) return std::nullopt;
  return newest.front();
}

std::vector<std::string> SqliteLedger::sections(const model::Uuid& vm, std::string_view section, unsigned most) {
  auto found = m_database.read([&](SQLite::Database& db) {
    std::vector<std::string> newest_first;
    Query row(db, "SELECT json FROM sections WHERE vm_uuid = ? AND section = ? ORDER BY id DESC LIMIT ?");
    row.bind(vm, std::string(section), most);
    while (row.next()) newest_first.push_back(row.text(0));
    return newest_first;
  });
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace umbra::store
