// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/tiers.hpp"

#include <algorithm>
#include <iterator>

#include "adapters/store/block.hpp"

namespace umbra::store {
namespace {

struct Tally {
  double sum = 0;
  unsigned count = 0;
  double highest = 0;
};

model::Sample sample_of(std::span<const model::Sample> piece, base::Instant at) {
  model::Sample one;
  one.at = at;
  for (std::size_t r = 0; r < one.values.size(); ++r) {
    Tally tally;
    for (const model::Sample& sample : piece) {
      if (!sample.values[r]) continue;
      tally.sum += *sample.values[r];
      tally.highest = std::max(tally.highest, sample.peaks[r].value_or(*sample.values[r]));
      ++tally.count;
    }
    if (tally.count == 0) continue;
    one.values[r] = rounded(tally.sum / tally.count);
    if (one.values[r] && tally.highest > *one.values[r]) one.peaks[r] = tally.highest;
  }
  return one;
}

}  // namespace

base::Instant grid_start(base::Instant at, base::Millis piece) {
  const base::Millis before = at.time_since_epoch() - base::Millis{1};
  const base::Millis into = (before % piece + piece) % piece;  // before 1970 too
  return base::Instant{before - into};
}

std::vector<model::Sample> coarser(std::span<const model::Sample> samples, base::Millis grain) {
  std::vector<model::Sample> result;
  for (std::size_t first = 0, last = 0; first < samples.size(); first = last) {
    const base::Instant end = grid_start(samples[first].at, grain) + grain;
    while (last < samples.size() && samples[last].at <= end) ++last;
    result.push_back(sample_of(samples.subspan(first, last - first), end));
  }
  return result;
}

std::vector<model::Sample> merged(std::vector<model::Sample> older, std::span<const model::Sample> newer) {
  if (older.empty() || newer.empty() || newer.front().at > older.back().at) {
    older.insert(older.end(), newer.begin(), newer.end());
    return older;
  }
  std::vector<model::Sample> both;
  both.reserve(older.size() + newer.size());
  std::ranges::merge(older, newer, std::back_inserter(both), {}, &model::Sample::at, &model::Sample::at);
  // Of equals the older comes first: the last of each run stays.
  std::vector<model::Sample> unique;
  unique.reserve(both.size());
  for (const model::Sample& sample : both) {
    if (!unique.empty() && unique.back().at == sample.at)
      unique.back() = sample;
    else
      unique.push_back(sample);
  }
  return unique;
}

}  // namespace umbra::store
