// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/packed.hpp"

#include <algorithm>

#include "adapters/store/block.hpp"

namespace umbra::store {
namespace {

/// Both go through ids upwards: the one of `id`, at or behind `from`, or none.
PackedSeries* find_onward(std::vector<PackedSeries>& series, std::size_t& from, std::int64_t id) {
  while (from < series.size() && series[from].id.get() < id) ++from;
  return from < series.size() && series[from].id.get() == id ? &series[from] : nullptr;
}

/// From columns id, uuid, vm, host.
PackedSeries head_from(Query& row) {
  PackedSeries one;
  one.id = SeriesId(row.number(0));
  one.head = {model::VmName(row.text(2)), model::Uuid(row.text(1)), model::HostName(row.text(3)), {}};
  return one;
}

/// Whether going through all between the first and the last is less than looking each up.
bool lie_together(const std::vector<PackedSeries>& series) {
  constexpr std::int64_t most_apart = 4;
  const auto count = static_cast<std::int64_t>(series.size());
  return series.back().id.get() - series.front().id.get() < most_apart * count;
}

}  // namespace

std::vector<Slice> slices_since(SQLite::Database& db, base::Instant since) {
  std::vector<Slice> slices;
  Query row(db, "SELECT id, tier, start FROM slices ORDER BY tier DESC, start");
  while (row.next()) {
    const auto tier = static_cast<std::size_t>(row.number(1));
    if (tier >= tier_rules.size())
      throw base::Error(base::Kind::corrupt, "the history holds a slice of an unknown tier");
    const Slice slice{SliceId(row.number(0)), static_cast<Tier>(tier), row.time(2)};
    if (slice.end() >= since) slices.push_back(slice);
  }
  return slices;
}

std::vector<PackedSeries> next_series(SQLite::Database& db, SeriesId after, unsigned most) {
  std::vector<PackedSeries> series;
  Query row(db, "SELECT id, uuid, vm, host FROM series WHERE id > ? ORDER BY id LIMIT ?");
  row.bind(after.get(), most);
  while (row.next()) series.push_back(head_from(row));
  return series;
}

std::vector<PackedSeries> these_series(SQLite::Database& db, std::span<const SeriesId> ids) {
  std::vector<PackedSeries> series;
  Query row(db, "SELECT id, uuid, vm, host FROM series WHERE id = ?");
  for (const SeriesId id : ids) {
    if (row.bind(id.get()).next()) series.push_back(head_from(row));
  }
  return series;
}

void read_blocks(SQLite::Database& db, const std::vector<Slice>& slices, std::vector<PackedSeries>& series) {
  if (series.empty()) return;
  if (!lie_together(series)) {
    Query one(db, "SELECT data FROM blocks WHERE key = ?");
    for (const Slice& slice : slices) {
      for (PackedSeries& into : series) {
        if (one.bind(BlockKey{slice.id, into.id}.number()).next())
          into.blocks.push_back({slice, std::string(one.bytes(0))});
      }
    }
    return;
  }
  Query row(db, "SELECT key & 4294967295, data FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key");
  for (const Slice& slice : slices) {
    row.bind(BlockKey{slice.id, series.front().id}.number(), BlockKey{slice.id, series.back().id}.number());
    for (std::size_t from = 0; row.next();) {
      if (PackedSeries* const one = find_onward(series, from, row.number(0)))
        one->blocks.push_back({slice, std::string(row.bytes(1))});
    }
  }
}

void read_recent(SQLite::Database& db, base::Instant since, std::vector<PackedSeries>& series) {
  Query row(db,
            "SELECT at, cpu, memory, gpu, gpu_memory, net, disk FROM samples "
            "WHERE series = ? AND at >= ? ORDER BY at");
  for (PackedSeries& one : series) {
    row.bind(one.id.get(), since);
    while (row.next()) one.recent.push_back(sample_from(row, 0));
  }
}

model::Sample sample_from(Query& row, int column) {
  model::Sample sample;
  sample.at = row.time(column);
  for (std::size_t r = 0; r < sample.values.size(); ++r) {
    // Rounded again: rows of an earlier version of the schema were kept as they came.
    if (const auto value = row.maybe_real(column + 1 + static_cast<int>(r))) sample.values[r] = rounded(*value);
  }
  return sample;
}

void unpack(const PackedSeries& series, base::Instant since, std::vector<model::Sample>& samples) {
  samples.clear();
  const auto drop_told = [&](std::size_t had) {
    if (had == 0) return;
    const auto added = samples.begin() + static_cast<std::ptrdiff_t>(had);
    const base::Instant told = samples[had - 1].at;
    samples.erase(added, std::find_if(added, samples.end(), [&](const auto& s) { return s.at > told; }));
  };
  base::Instant coarse = base::Instant::min();  // up to here a coarser tier has told of all
  for (const PackedBlock& block : series.blocks) {
    const std::size_t had = samples.size();
    unpack(block.data, block.slice.start, samples);
    drop_told(had);
    if (block.slice.tier != Tier::sampled && !samples.empty()) coarse = samples.back().at;
  }
  const auto late = std::ranges::find_if(series.recent, [&](const auto& sample) { return sample.at > coarse; });
  samples = merged(std::move(samples), {late, series.recent.end()});
  samples.erase(samples.begin(), std::ranges::find_if(samples, [&](const auto& sample) { return sample.at >= since; }));
}

}  // namespace umbra::store
