// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <type_traits>

#include "adapters/store/parts.hpp"

namespace umbra::store {
namespace {

std::string subject_of(const model::Counters& c) {
  return c.uuid.get().empty() ? "host:" + c.host.get() : c.uuid.get();
}

/// Each series under the name and host of its last row, and its number in the table.
std::map<model::Uuid, std::int64_t> name_series(SQLite::Database& db, std::span<const ports::SampleRow> rows) {
  std::map<model::Uuid, const ports::SampleRow*> last;
  for (const ports::SampleRow& row : rows) last[row.uuid] = &row;
  Query put(db,
            "INSERT INTO series (uuid, vm, host) VALUES (?, ?, ?) "
            "ON CONFLICT (uuid) DO UPDATE SET vm = excluded.vm, host = excluded.host");
  Query get(db, "SELECT id FROM series WHERE uuid = ?");
  std::map<model::Uuid, std::int64_t> ids;
  for (const auto& [uuid, row] : last) {
    put.bind(row->uuid, row->vm, row->host).exec();
    get.bind(uuid).next();
    ids[uuid] = get.number(0);
  }
  return ids;
}

model::Counters counters_from(Query& row) {
  model::Counters c;
  c.at = row.time(0);
  c.host = model::HostName(row.text(1));
  c.vm = model::VmName(row.text(2));
  c.uuid = model::Uuid(row.text(3));
  c.incarnation = row.text(4);
  c.cpus = row.real(5);
  c.cpu_s = row.maybe_real(6);
  c.memory_total = row.maybe_bytes(7);
  c.memory_used = row.maybe_bytes(8);
  c.net_bytes = row.maybe_bytes(9);
  c.disk_bytes = row.maybe_bytes(10);
  return c;
}

}  // namespace

void SqliteHistory::append(std::span<const ports::SampleRow> rows) {
  if (rows.empty()) return;
  m_database.write([&](SQLite::Database& db) {
    const std::map<model::Uuid, std::int64_t> ids = name_series(db, rows);
    Query add(db,
              "INSERT OR REPLACE INTO samples (series, at, cpu, memory, gpu, gpu_memory, net, disk) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    for (const ports::SampleRow& row : rows) {
      const auto& v = row.sample.values;
      static_assert(std::tuple_size_v<std::remove_cvref_t<decltype(v)>> == 6, "the table has a column per resource");
      add.bind(ids.at(row.uuid), row.sample.at, v[0], v[1], v[2], v[3], v[4], v[5]).exec();
    }
  });
}

model::Series SqliteHistory::series(const model::Uuid& uuid, base::Instant since) {
  return m_database.read([&](SQLite::Database& db) {
    model::Series series;
    series.uuid = uuid;
    Query name(db, "SELECT id, vm, host FROM series WHERE uuid = ?");
    if (!name.bind(uuid).next()) return series;
    series.vm = model::VmName(name.text(1));
    series.host = model::HostName(name.text(2));
    Query samples(db,
                  "SELECT at, cpu, memory, gpu, gpu_memory, net, disk FROM samples "
                  "WHERE series = ? AND at >= ? ORDER BY at");
    samples.bind(name.number(0), since);
    while (samples.next()) {
      model::Sample& sample = series.samples.emplace_back();
      sample.at = samples.time(0);
      for (std::size_t i = 0; i < sample.values.size(); ++i)
        sample.values[i] = samples.maybe_real(static_cast<int>(i) + 1);
    }
    return series;
  });
}

std::vector<model::Counters> SqliteHistory::last_counters() {
  return m_database.read([](SQLite::Database& db) {
    std::vector<model::Counters> all;
    Query row(db,
              "SELECT at, host, vm, uuid, incarnation, cpus, cpu_s, memory_total, memory_used, net_bytes, disk_bytes "
              "FROM counters ORDER BY subject");
    while (row.next()) all.push_back(counters_from(row));
    return all;
  });
}

void SqliteHistory::put_counters(std::span<const model::Counters> counters) {
  if (counters.empty()) return;
  m_database.write([&](SQLite::Database& db) {
    Query put(db,
              "INSERT OR REPLACE INTO counters (subject, at, host, vm, uuid, incarnation, cpus, cpu_s, memory_total, "
              "memory_used, net_bytes, disk_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const model::Counters& c : counters) {
      put.bind(subject_of(c), c.at, c.host, c.vm, c.uuid, c.incarnation, c.cpus, c.cpu_s, c.memory_total, c.memory_used,
               c.net_bytes, c.disk_bytes)
          .exec();
    }
  });
}

void SqliteHistory::forget_before(base::Instant oldest) {
  m_database.write([&](SQLite::Database& db) {
    // Series by series, since the samples' key starts with it: no search through all that stays.
    Query(db, "DELETE FROM samples WHERE at < ?1 AND series IN (SELECT id FROM series)").bind(oldest).exec();
    Query(db, "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM samples WHERE samples.series = series.id)").exec();
    Query(db, "DELETE FROM counters WHERE at < ?").bind(oldest).exec();
  });
}

}  // namespace umbra::store
