// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/parts.hpp"

namespace umbra::store {
namespace {

constexpr int most_models = 8;

ports::SiteModel model_from(Query& row) {
  return {row.number(0), row.time(1), row.text(2), row.text(3), row.number(4) != 0};
}

}  // namespace

void SqliteModels::put(const ports::SiteModel& model, std::span<const std::byte> file) {
  const Blob blob{{reinterpret_cast<const char*>(file.data()), file.size()}};
  m_database.write([&](SQLite::Database& db) {
    // What was stepped back from does not come back.
    Query(db, "DELETE FROM models WHERE id > ifnull((SELECT id FROM models WHERE in_use = 1), 0)").exec();
    Query(db, "UPDATE models SET in_use = 0").exec();
    Query(db, "INSERT INTO models (made, name, trial, in_use, file) VALUES (?, ?, ?, 1, ?)")
        .bind(model.made, model.name, model.trial, blob)
        .exec();
    Query(db, "DELETE FROM models WHERE id NOT IN (SELECT id FROM models ORDER BY id DESC LIMIT ?)")
        .bind(std::int64_t{most_models})
        .exec();
  });
}

std::vector<ports::SiteModel> SqliteModels::all() {
  return m_database.read([](SQLite::Database& db) {
    std::vector<ports::SiteModel> models;
    Query row(db, "SELECT id, made, name, trial, in_use FROM models ORDER BY id DESC");
    while (row.next()) models.push_back(model_from(row));
    return models;
  });
}

std::optional<std::vector<std::byte>> SqliteModels::in_use() {
  return m_database.read([](SQLite::Database& db) -> std::optional<std::vector<std::byte>> {
    Query row(db, "SELECT file FROM models WHERE in_use = 1");
    if (!row.next()) return std::nullopt;
    const auto bytes = std::as_bytes(std::span(row.bytes(0)));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  });
}

std::optional<ports::SiteModel> SqliteModels::step_back() {
  std::optional<ports::SiteModel> before;
  m_database.write([&](SQLite::Database& db) {
    Query used(db, "SELECT id FROM models WHERE in_use = 1");
    if (!used.next()) {
      throw base::Error(base::Kind::invalid, "the model that ships is in use already: there is no step back from it",
                        "umbra model list");
    }
    const std::int64_t id = used.number(0);
    Query(db, "UPDATE models SET in_use = 0").exec();
    Query earlier(db, "SELECT id, made, name, trial, in_use FROM models WHERE id < ? ORDER BY id DESC LIMIT 1");
    if (!earlier.bind(id).next()) return;
    before = model_from(earlier);
    before->in_use = true;
    Query(db, "UPDATE models SET in_use = 1 WHERE id = ?").bind(before->id).exec();
  });
  return before;
}

}  // namespace umbra::store
