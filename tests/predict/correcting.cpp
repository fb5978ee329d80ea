// SPDX-License-Identifier: Apache-2.0
#include "predict/correcting.hpp"

#include <catch2/catch.hpp>
#include <cmath>

using namespace umbra;
using namespace umbra::predict;

namespace {

/// Peaks of `resource`, `rows` of them, whose ranks in what the trees said spread evenly over 0 to `highest`.
void add(Said& said, Examples& examples, model::Resource resource, std::size_t rows, double highest) {
  for (std::size_t i = 0; i < rows; ++i) {
    said.peak_rank.push_back(highest * static_cast<double>(i) / static_cast<double>(rows));
    examples.saturated.push_back(0);
    examples.resource.push_back(resource);
  }
}

bool about(double a, double b) {
  return std::abs(a - b) < 0.01;
}

}  // namespace

TEST_CASE("quantiles of a resource's peaks are corrected by that resource's own, where there are enough") {
  Said said;
  Examples examples;
  add(said, examples, model::Resource::cpu, 4000, 1);
  add(said, examples, model::Resource::gpu, 4000, 0.5);
  add(said, examples, model::Resource::disk, 100, 0.1);
  const model::PeakRanks ranks = peak_ranks_of(said, examples);

  CHECK(about(ranks.of(model::Resource::cpu)[0], 0.1));
  CHECK(about(ranks.of(model::Resource::cpu)[2], 0.9));
  CHECK(about(ranks.of(model::Resource::gpu)[0], 0.05));
  CHECK(about(ranks.of(model::Resource::gpu)[2], 0.45));
  CHECK(ranks.own.size() == 2);
  CHECK(ranks.of(model::Resource::disk) == ranks.all);
}

TEST_CASE("of no peaks nothing is corrected") {
  CHECK(peak_ranks_of({}, {}).all == model::learned_quantiles);
}
