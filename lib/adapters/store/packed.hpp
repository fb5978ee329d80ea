// SPDX-License-Identifier: Apache-2.0
#pragma once
// Series as they lie in the database: blocks in slices, and the newest samples as rows. Inside this folder only.

#include <span>
#include <string>
#include <vector>

#include "adapters/store/database.hpp"
#include "adapters/store/tiers.hpp"
#include "base/strong.hpp"

namespace umbra::store {

using SliceId = base::Strong<struct SliceTag, std::int64_t>;
using SeriesId = base::Strong<struct SeriesTag, std::int64_t>;

struct Slice {
  SliceId id;
  Tier tier = Tier::sampled;
  base::Instant start;
  base::Instant end() const { return start + rule_of(tier).slice; }
};

/// Where the block of a series in a slice is; a slice's own keys are those from its series 0 up to the next slice's.
struct BlockKey {
  SliceId slice;
  SeriesId series;
  std::int64_t number() const { return slice.get() * (std::int64_t{1} << 32) + series.get(); }
};

struct PackedBlock {
  Slice slice;
  std::string data;
};

struct PackedSeries {
  SeriesId id;
  model::Series head;  ///< without its samples
  std::vector<PackedBlock> blocks;
  std::vector<model::Sample> recent;
};

/// Those that hold anything of `since` or later: the coarsest tier first, each tier oldest first.
std::vector<Slice> slices_since(SQLite::Database& db, base::Instant since);

/// The next `most` series whose ids are above `after`, in the order of their ids.
std::vector<PackedSeries> next_series(SQLite::Database& db, SeriesId after, unsigned most);

/// These series, in the order given; those that are none are left out.
std::vector<PackedSeries> these_series(SQLite::Database& db, std::span<const SeriesId> ids);

/// Fills in the blocks of these slices; `series` are in the order of their ids.
void read_blocks(SQLite::Database& db, const std::vector<Slice>& slices, std::vector<PackedSeries>& series);

/// Fills in the rows of `since` or later; `series` as above.
void read_recent(SQLite::Database& db, base::Instant since, std::vector<PackedSeries>& series);

/// From columns at, cpu, memory, gpu, gpu_memory, net, disk, the first of which is `column`.
model::Sample sample_from(Query& row, int column);

/// The whole as one rising sequence, in place of what `samples` held: their memory serves one series after the other.
/// Where a coarser tier has told of a time, what a finer one says of it (a sample that came late) is passed over.
void unpack(const PackedSeries& series, base::Instant since, std::vector<model::Sample>& samples);

}  // namespace umbra::store
