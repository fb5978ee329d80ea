// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "adapters/store/parts.hpp"
#include "model/record.hpp"

namespace umbra::store {
namespace {

constexpr const char* columns = "vm_uuid, vm, id, primary_host, host, level, from_pool, replica, state";

model::Json parsed(const model::VmName& vm, const std::string& json) {
  try {
    return model::Json::parse(json);
  } catch (const nlohmann::json::exception& e) {
    throw base::Error(base::Kind::corrupt,
                      fmt::format("what is stored of the shadow of {} is no JSON: {}", vm.get(), e.what()),
                      "run umbra replicate for it, which stores it anew");
  }
}

ports::ShadowRow shadow_from(Query& row) {
  ports::ShadowRow shadow;
  shadow.vm_uuid = model::Uuid(row.text(0));
  shadow.vm = model::VmName(row.text(1));
  shadow.id = model::ShadowId(row.text(2));
  shadow.primary_host = model::HostName(row.text(3));
  shadow.host = model::HostName(row.text(4));
  const auto level = model::level_from_string(row.text(5));
  if (!level)
    throw base::Error(base::Kind::corrupt,
                      fmt::format("the stored level of {} is unknown: {}", row.text(1), row.text(5)));
  shadow.level = *level;
  shadow.from_pool = row.number(6) != 0;
  if (const auto json = row.maybe_text(7)) shadow.replica = model::replica_from(parsed(shadow.vm, *json));
  if (const auto json = row.maybe_text(8)) shadow.state = model::state_from(parsed(shadow.vm, *json));
  return shadow;
}

template <class Section>
std::optional<std::string> dumped(const std::optional<Section>& section) {
  if (!section) return std::nullopt;
  return model::to_text(model::to_json(*section));
}

}  // namespace

void SqliteShadows::put(const ports::ShadowRow& row) {
  m_database.write([&](SQLite::Database& db) {
    Query(db,
          "INSERT OR REPLACE INTO shadows (vm_uuid, vm, id, primary_host, host, level, from_pool, replica, state) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(row.vm_uuid, row.vm, row.id, row.primary_host, row.host, std::string(model::to_string(row.level)),
              row.from_pool, dumped(row.replica), dumped(row.state))
        .exec();
  });
}

std::optional<ports::ShadowRow> SqliteShadows::find(const model::VmName& vm) {
  return m_database.read([&](SQLite::Database& db) -> std::optional<ports::ShadowRow> {
    Query row(db, fmt::format("SELECT {} FROM shadows WHERE vm = ? ORDER BY vm_uuid", columns).c_str());
    if (!row.bind(vm).next()) return std::nullopt;
    return shadow_from(row);
  });
}

std::vector<ports::ShadowRow> SqliteShadows::all() {
  return m_database.read([](SQLite::Database& db) {
    std::vector<ports::ShadowRow> rows;
    Query row(db, fmt::format("SELECT {} FROM shadows ORDER BY vm, vm_uuid", columns).c_str());
    while (row.next()) rows.push_back(shadow_from(row));
    return rows;
  });
}

void SqliteShadows::remove(const model::Uuid& vm_uuid) {
  m_database.write(
      [&](SQLite::Database& db) { Query(db, "DELETE FROM shadows WHERE vm_uuid = ?").bind(vm_uuid).exec(); });
}

}  // namespace umbra::store
