// SPDX-License-Identifier: Apache-2.0
// The upkeep of the history, in steps of one transaction each: a crash between any two leaves all samples readable,
// each once.
#include <fmt/core.h>

#include <algorithm>

#include "adapters/store/block.hpp"
#include "adapters/store/packed.hpp"
#include "adapters/store/parts.hpp"
#include "base/log.hpp"

namespace umbra::store {
namespace {

/// A source may be as late with its samples before their slice is packed; later ones cost a second packing.
constexpr base::Millis grace{120'000};
/// Slices made in one call at most: a large history of an earlier version is packed over several.
constexpr unsigned most_slices = 24;
constexpr unsigned series_per_step = 256;
/// What a sample in a row, and a block beside its data, take on disk.
constexpr std::uint64_t row_bytes = 56;
constexpr std::uint64_t block_overhead = 12;

class SliceWriter {
 public:
  SliceWriter(SQLite::Database& db, Tier tier, base::Instant start)
      : m_get(db, "SELECT data FROM blocks WHERE key = ?"),
        m_put(db, "INSERT OR REPLACE INTO blocks (key, data) VALUES (?, ?)"),
        m_grow(db, "UPDATE slices SET bytes = bytes + ? WHERE id = ?") {
    Query find(db, "SELECT id FROM slices WHERE tier = ? AND start = ?");
    const auto number = static_cast<int>(tier);
    m_is_new = !find.bind(number, start).next();
    if (m_is_new) {
      Query(db, "INSERT INTO slices (tier, start, bytes) VALUES (?, ?, 0)").bind(number, start).exec();
      find.bind(number, start).next();
    }
    m_slice = {SliceId(find.number(0)), tier, start};
  }

  const Slice& slice() const { return m_slice; }

  /// What the slice holds of the series already, where samples came late.
  std::vector<model::Sample> held(SeriesId series) {
    std::vector<model::Sample> samples;
    if (!m_is_new && m_get.bind(BlockKey{m_slice.id, series}.number()).next())
      unpack(m_get.bytes(0), m_slice.start, samples);
    return samples;
  }

  void put(SeriesId series, std::span<const model::Sample> samples) {
    const std::string data = pack(samples, m_slice.start);
    m_put.bind(BlockKey{m_slice.id, series}.number(), Blob{data}).exec();
    m_bytes += data.size() + block_overhead;
  }

  void finish() { m_grow.bind(m_bytes, m_slice.id.get()).exec(); }

 private:
  Query m_get;
  Query m_put;
  Query m_grow;
  Slice m_slice;
  bool m_is_new = false;
  std::uint64_t m_bytes = 0;
};

void drop_slice(SQLite::Database& db, SliceId slice) {
  const auto next = SliceId(slice.get() + 1);
  Query(db, "DELETE FROM blocks WHERE key >= ? AND key < ?")
      .bind(BlockKey{slice, SeriesId{0}}.number(), BlockKey{next, SeriesId{0}}.number())
      .exec();
  Query(db, "DELETE FROM slices WHERE id = ?").bind(slice.get()).exec();
}

/// The instant of the oldest sample that is not packed yet; series by series, since the table's key starts with it.
std::optional<base::Instant> oldest_row(SQLite::Database& db) {
  Query row(db,
            "SELECT min((SELECT at FROM samples WHERE samples.series = series.id ORDER BY at LIMIT 1)) FROM series");
  if (!row.next() || row.null(0)) return std::nullopt;
  return row.time(0);
}

/// Moves the rows of one slice into blocks.
void pack_slice(SQLite::Database& db, base::Instant start) {
  SliceWriter writer(db, Tier::sampled, start);
  const base::Instant end = writer.slice().end();
  Query row(db,
            "SELECT series.id, at, cpu, memory, gpu, gpu_memory, net, disk FROM series CROSS JOIN samples "
            "ON samples.series = series.id AND at > ? AND at <= ? ORDER BY series.id, at");
  row.bind(start, end);
  Query packed(db, "UPDATE series SET packed = max(packed, ?) WHERE id = ?");
  std::vector<model::Sample> samples;
  for (bool more = row.next(); more;) {
    const SeriesId series(row.number(0));
    samples.clear();
    while (more && row.number(0) == series.get()) {
      samples.push_back(sample_from(row, 1));
      more = row.next();
    }
    writer.put(series, merged(writer.held(series), samples));
    packed.bind(end, series.get()).exec();
  }
  writer.finish();
  Query(db, "DELETE FROM samples WHERE at > ?1 AND at <= ?2 AND series IN (SELECT id FROM series)")
      .bind(start, end)
      .exec();
}

/// Makes one slice of `tier` of the finer `parts` that lie in it.
void make_coarser(SQLite::Database& db, Tier tier, base::Instant start, const std::vector<Slice>& parts) {
  SliceWriter writer(db, tier, start);
  std::vector<model::Sample> samples;
  for (SeriesId after{0};;) {
    std::vector<PackedSeries> some = next_series(db, after, series_per_step);
    if (some.empty()) break;
    after = some.back().id;
    read_blocks(db, parts, some);
    for (const PackedSeries& series : some) {
      if (series.blocks.empty()) continue;
      // A grain that was made before was made of more than what came late.
      unpack(series, base::Instant::min(), samples);
      writer.put(series.id, merged(coarser(samples, rule_of(tier).grain), writer.held(series.id)));
    }
  }
  writer.finish();
  for (const Slice& part : parts) drop_slice(db, part.id);
}

/// The slices of `finer` that the oldest due slice of `coarse` is to be made of; none where none is due.
std::vector<Slice> due_parts(SQLite::Database& db, Tier finer, Tier coarse, base::Instant now) {
  std::vector<Slice> parts = slices_since(db, base::Instant::min());
  std::erase_if(parts, [&](const Slice& slice) { return slice.tier != finer; });
  if (parts.empty()) return {};
  const base::Millis length = rule_of(coarse).slice;
  const base::Instant start = grid_start(parts.front().end(), length);
  if (start + length > now - rule_of(finer).age) return {};
  std::erase_if(parts, [&](const Slice& slice) { return slice.end() > start + length; });
  return parts;
}

std::uint64_t history_bytes(SQLite::Database& db) {
  Query row(db, "SELECT (SELECT ifnull(sum(bytes), 0) FROM slices), (SELECT count(*) FROM samples)");
  row.next();
  return row.count(0) + row.count(1) * row_bytes;
}

void forget_rows(SQLite::Database& db, base::Instant oldest) {
  Query(db, "DELETE FROM samples WHERE at < ?1 AND series IN (SELECT id FROM series)").bind(oldest).exec();
  Query(db, "DELETE FROM counters WHERE at < ?").bind(oldest).exec();
}

/// A series goes when no slice that is left can hold a block of it: its number may be given again after that.
void forget_series(SQLite::Database& db, base::Instant oldest) {
  Query(db,
        "DELETE FROM series WHERE packed <= min(?, (SELECT ifnull(min(start), 9223372036854775807) FROM slices)) "
        "AND NOT EXISTS (SELECT 1 FROM samples WHERE samples.series = series.id)")
      .bind(oldest)
      .exec();
}

}  // namespace

void SqliteHistory::tidy(base::Instant now, const ports::Retention& retention) {
  const base::Instant oldest = now - std::chrono::ceil<base::Millis>(retention.keep);
  forget_older(oldest);
  pack_rows(now);
  make_coarser(now);
  forget_beyond(retention.max_size);
  m_database.write([&](SQLite::Database& db) { forget_series(db, oldest); });
}

void SqliteHistory::forget_older(base::Instant oldest) {
  m_database.write([&](SQLite::Database& db) {
    forget_rows(db, oldest);
    for (const Slice& slice : slices_since(db, base::Instant::min())) {
      if (slice.end() <= oldest) drop_slice(db, slice.id);
    }
  });
}

void SqliteHistory::pack_rows(base::Instant now) {
  bool more = true;
  for (unsigned done = 0; more && done < most_slices; ++done) {
    m_database.write([&](SQLite::Database& db) {
      const auto first = oldest_row(db);
      const auto start = first ? grid_start(*first, rule_of(Tier::sampled).slice) : now;
      more = start + rule_of(Tier::sampled).slice <= now - grace;
      if (more) pack_slice(db, start);
    });
  }
}

void SqliteHistory::make_coarser(base::Instant now) {
  for (const auto& [finer, coarse] : {std::pair(Tier::sampled, Tier::minutes), std::pair(Tier::minutes, Tier::hours)}) {
    bool more = true;
    for (unsigned done = 0; more && done < most_slices; ++done) {
      m_database.write([&, from = finer, to = coarse](SQLite::Database& db) {
        const std::vector<Slice> parts = due_parts(db, from, to, now);
        more = !parts.empty();
        if (more) store::make_coarser(db, to, grid_start(parts.front().end(), rule_of(to).slice), parts);
      });
    }
  }
}

void SqliteHistory::forget_beyond(model::ByteCount max_size) {
  std::optional<base::Instant> forgotten;
  bool more = true;
  while (more) {
    m_database.write([&](SQLite::Database& db) {
      const std::vector<Slice> slices = slices_since(db, base::Instant::min());
      more = !slices.empty() && history_bytes(db) > max_size.value;
      if (!more) return;
      const Slice first = *std::ranges::min_element(slices, {}, &Slice::end);
      forgotten = std::max(forgotten.value_or(first.end()), first.end());
      drop_slice(db, first.id);
    });
  }
  if (forgotten)
    base::log(base::Level::info,
              fmt::format("the history is at its largest ([metrics] max_size): what is older than {} "
                          "is forgotten",
                          base::to_rfc3339(*forgotten)));
}

}  // namespace umbra::store
