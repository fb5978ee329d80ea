// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "adapters/store/parts.hpp"

namespace umbra::store {
namespace {

/// Of one VM. Forecasts and placements, which every run says anew, go by age and size too; decisions are learned from
/// with their outcomes, however old they are.
constexpr unsigned most_kept = 1000;
/// Rows forgotten in one transaction, and in one call: a ledger of an earlier version is cut down over several.
constexpr std::uint64_t rows_per_step = 20'000;
constexpr unsigned most_steps = 10;
/// What a row and its index entry take beside the JSON.
constexpr std::uint64_t row_overhead = 140;

/// How many rows fit into `budget`, by the size of the newest ones; reading the size of all would take seconds.
std::uint64_t rows_within(SQLite::Database& db, std::uint64_t budget) {
  Query mean(db,
             "SELECT ifnull(avg(length(json)), 0) FROM (SELECT json FROM sections "
             "WHERE section IN ('forecast', 'placement') ORDER BY id DESC LIMIT 200)");
  mean.next();
  return budget / (static_cast<std::uint64_t>(mean.real(0)) + row_overhead);
}

std::uint64_t rows_held(SQLite::Database& db) {
  Query count(db, "SELECT count(*) FROM sections WHERE section IN ('forecast', 'placement')");
  count.next();
  return count.count(0);
}

/// Those that go first, oldest first: `too_many` of them, and all that are older than `oldest`. Ids rise as rows are
/// added, so that it ends at the first that may stay.
std::vector<std::int64_t> due(SQLite::Database& db, std::uint64_t too_many, base::Instant oldest) {
  Query row(db,
            "SELECT id, at FROM sections AS one WHERE section IN ('forecast', 'placement') AND id < "
            "(SELECT max(id) FROM sections WHERE vm_uuid = one.vm_uuid AND section = one.section) ORDER BY id");
  std::vector<std::int64_t> ids;
  while (ids.size() < rows_per_step && row.next() && (ids.size() < too_many || row.time(1) < oldest))
    ids.push_back(row.number(0));
  return ids;
}

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

void SqliteLedger::tidy(base::Instant now, const ports::Retention& retention) {
  const base::Instant oldest = now - std::chrono::ceil<base::Millis>(retention.keep);
  bool more = true;
  for (unsigned done = 0; more && done < most_steps; ++done) {
    m_database.write([&](SQLite::Database& db) {
      const std::uint64_t most = rows_within(db, retention.max_size.value / 8);
      const std::uint64_t held = rows_held(db);
      const std::vector<std::int64_t> forgotten = due(db, held > most ? held - most : 0, oldest);
      Query drop(db, "DELETE FROM sections WHERE id = ?");
      for (const std::int64_t id : forgotten) drop.bind(id).exec();
      more = forgotten.size() == rows_per_step;
    });
  }
}

}  // namespace umbra::store
