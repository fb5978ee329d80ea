// SPDX-License-Identifier: Apache-2.0
// The history as it is written and read; tidy.cpp makes it coarser and forgets.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "adapters/store/block.hpp"
#include "adapters/store/packed.hpp"
#include "adapters/store/parts.hpp"
#include "base/log.hpp"

namespace umbra::store {
namespace {

/// Series read at once by each_series and each_of: enough that the reading is sequential, and some MB at most.
constexpr unsigned series_per_read = 128;

std::string subject_of(const model::Counters& c) {
  return c.uuid.get().empty() ? "host:" + c.host.get() : c.uuid.get();
}

/// Each series under the name and host of its last row, and its number in the table. Most have them already, and a
/// write of all would be as much as the samples.
std::unordered_map<model::Uuid, std::int64_t> name_series(SQLite::Database& db,
                                                          std::span<const ports::SampleRow> rows) {
  std::unordered_map<model::Uuid, const ports::SampleRow*> last;
  for (const ports::SampleRow& row : rows) last[row.uuid] = &row;
  Query get(db, "SELECT id, vm, host FROM series WHERE uuid = ?");
  Query put(db,
            "INSERT INTO series (uuid, vm, host) VALUES (?, ?, ?) "
            "ON CONFLICT (uuid) DO UPDATE SET vm = excluded.vm, host = excluded.host");
  std::unordered_map<model::Uuid, std::int64_t> ids;
  for (const auto& [uuid, row] : last) {
    const auto known = [&, id = uuid] { return get.bind(id).next(); };
    if (!known() || get.text(1) != row->vm.get() || get.text(2) != row->host.get()) {
      put.bind(row->uuid, row->vm, row->host).exec();
      known();
    }
    ids[uuid] = get.number(0);
  }
  return ids;
}

/// Instants that no clock tells but a broken one; with others the grid of time could overflow.
constexpr base::Instant first_instant{base::Millis{0}};
constexpr base::Instant last_instant = first_instant + 1000 * 366 * day;

/// Lets through what can be the use of a resource, and says what can't.
class Sieve {
 public:
  /// Nothing where nothing of the row is left.
  std::optional<model::Sample> taken(const ports::SampleRow& row) {
    const base::Instant at = row.sample.at;
    if (at < first_instant || at > last_instant) {
      refuse(row, "an instant", static_cast<double>(at.time_since_epoch().count()));
      return std::nullopt;
    }
    model::Sample sample;
    sample.at = at;
    bool any = false;
    for (const model::Resource r : model::all_resources) {
      const std::optional<double>& value = row.sample[r];
      if (!value) continue;
      sample[r] = rounded(*value);
      any = any || sample[r];
      if (!sample[r]) refuse(row, model::to_string(r), *value);
    }
    if (!any) return std::nullopt;
    return sample;
  }
  void tell() const {
    if (m_refused == 0) return;
    base::log(base::Level::warning,
              fmt::format("{} values of samples make no sense and are not kept; the first: {}", m_refused, m_first));
  }

 private:
  void refuse(const ports::SampleRow& row, std::string_view what, double value) {
    const std::string name = row.vm.get().empty() ? row.uuid.get() : row.vm.get();
    if (m_refused++ == 0) m_first = fmt::format("{} of {}: {}", what, name, value);
  }
  std::uint64_t m_refused = 0;
  std::string m_first;
};

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

/// A consistent look: what tidy() moves is seen once, here or there.
void read_samples(SQLite::Database& db, base::Instant since, std::vector<PackedSeries>& series) {
  read_blocks(db, slices_since(db, since), series);
  read_recent(db, since, series);
}

/// Makes `series` the unpacked one.
void unpack_into(model::Series& series, const PackedSeries& packed, base::Instant since) {
  std::vector<model::Sample> samples = std::move(series.samples);
  series = packed.head;
  try {
    unpack(packed, since, samples);
  } catch (base::Error& e) {
    e.add_context(fmt::format("the history of {}", series.uuid.get()));
    throw;
  }
  series.samples = std::move(samples);
}

/// A series that was asked for, and as which of all.
struct Wanted {
  SeriesId id;
  std::size_t which;
};

/// In the order of their ids, in which they lie.
std::vector<Wanted> find_series(SQLite::Database& db, std::span<const model::Uuid> uuids) {
  std::vector<Wanted> wanted;
  Query row(db, "SELECT id FROM series WHERE uuid = ?");
  for (std::size_t i = 0; i < uuids.size(); ++i) {
    if (row.bind(uuids[i]).next()) wanted.push_back({SeriesId(row.number(0)), i});
  }
  std::ranges::sort(wanted, {}, [](const Wanted& one) { return std::pair(one.id.get(), one.which); });
  return wanted;
}

}  // namespace

void SqliteHistory::append(std::span<const ports::SampleRow> rows) {
  if (rows.empty()) return;
  Sieve sieve;
  m_database.write([&](SQLite::Database& db) {
    const auto ids = name_series(db, rows);
    // In the order of the table each of its pages is touched once; rows of one instant keep theirs.
    std::vector<std::pair<std::int64_t, const ports::SampleRow*>> sorted;
    sorted.reserve(rows.size());
    for (const ports::SampleRow& row : rows) sorted.emplace_back(ids.at(row.uuid), &row);
    std::ranges::stable_sort(sorted, {}, [](const auto& one) { return std::pair(one.first, one.second->sample.at); });
    Query add(db,
              "INSERT OR REPLACE INTO samples (series, at, cpu, memory, gpu, gpu_memory, net, disk) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    for (const auto& [id, row] : sorted) {
      const std::optional<model::Sample> sample = sieve.taken(*row);
      if (!sample) continue;
      const auto& v = sample->values;
      static_assert(std::tuple_size_v<std::remove_cvref_t<decltype(v)>> == 6, "the table has a column per resource");
      add.bind(id, sample->at, v[0], v[1], v[2], v[3], v[4], v[5]).exec();
    }
  });
  sieve.tell();
}

model::Series SqliteHistory::series(const model::Uuid& uuid, base::Instant since) {
  std::vector<PackedSeries> found = m_database.read([&](SQLite::Database& db) {
    SQLite::Transaction snapshot(db);
    std::vector<PackedSeries> one;
    Query row(db, "SELECT id FROM series WHERE uuid = ?");
    if (row.bind(uuid).next()) {
      one = next_series(db, SeriesId(row.number(0) - 1), 1);
      read_samples(db, since, one);
    }
    return one;
  });
  model::Series series;
  series.uuid = uuid;
  if (!found.empty()) unpack_into(series, found.front(), since);
  return series;
}

void SqliteHistory::each_series(base::Instant since, const std::function<void(model::Series&&)>& each) {
  model::Series series;  // its memory serves the next, unless `each` takes it
  for (SeriesId after{0};;) {
    std::vector<PackedSeries> some = m_database.read([&](SQLite::Database& db) {
      SQLite::Transaction snapshot(db);
      std::vector<PackedSeries> next = next_series(db, after, series_per_read);
      read_samples(db, since, next);
      return next;
    });
    if (some.empty()) return;
    after = some.back().id;
    // No lock and no transaction is held from here on: `each` may write.
    for (PackedSeries& one : some) {
      unpack_into(series, one, since);
      each(std::move(series));
    }
  }
}

void SqliteHistory::each_of(std::span<const model::Uuid> uuids, base::Instant since,
                            const std::function<void(std::size_t which, Unpack)>& each) {
  const auto wanted = m_database.read([&](SQLite::Database& db) { return find_series(db, uuids); });
  for (std::span<const Wanted> left = wanted; !left.empty();) {
    const auto batch = left.first(std::min<std::size_t>(left.size(), series_per_read));
    left = left.subspan(batch.size());
    std::vector<SeriesId> ids;
    for (const Wanted& one : batch) ids.push_back(one.id);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    std::vector<PackedSeries> read = m_database.read([&](SQLite::Database& db) {
      SQLite::Transaction snapshot(db);
      std::vector<PackedSeries> some = these_series(db, ids);
      read_samples(db, since, some);
      return some;
    });
    // No lock and no transaction is held from here on: `each` may write.
    auto next = batch.begin();
    for (PackedSeries& one : read) {
      const auto packed = std::make_shared<const PackedSeries>(std::move(one));
      while (next != batch.end() && next->id.get() < packed->id.get()) ++next;  // forgotten meanwhile
      for (; next != batch.end() && next->id == packed->id; ++next) {
        if (packed->head.uuid != uuids[next->which]) continue;  // forgotten, and its number given to a newcomer
        each(next->which, [packed, since](model::Series& series) { unpack_into(series, *packed, since); });
      }
    }
  }
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

}  // namespace umbra::store
