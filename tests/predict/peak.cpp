// SPDX-License-Identifier: Apache-2.0
#include "predict/peak.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "predict/correcting.hpp"

namespace {

using namespace umbra;
using namespace umbra::predict;

constexpr double now = 0.4;
constexpr double scale = 0.1;

/// Log odds that each rung is reached: `below` says with which probability the peak stays below one.
template <class Stays>
std::vector<float> ladder(Stays below) {
  std::vector<float> all;
  for (const double rung : peak_ladder) all.push_back(static_cast<float>(std::log((1 - below(rung)) / below(rung))));
  return all;
}

/// The peak is the value at the origin in nine of ten cases.
const std::vector<float> stands_still = ladder([](double rung) { return rung <= 0 ? 0.001 : 0.9 + 0.009 * rung; });
/// It rises by anything from nothing to two scales.
const std::vector<float> rises = ladder([](double rung) { return std::clamp(rung / 2, 0.001, 0.999); });

}  // namespace

TEST_CASE("of what stands still p10 and p50 of the peak are the value at the origin, not a little above it") {
  const auto quantiles = peak_quantiles(stands_still, now, scale, model::learned_quantiles);
  CHECK(quantiles[0] == now);
  CHECK(quantiles[1] == now);
  CHECK(quantiles[2] > now);
  CHECK(quantiles[2] < now + 0.05 * scale);
}

TEST_CASE("of what rises the quantiles of the peak lie between the rungs") {
  const auto quantiles = peak_quantiles(rises, now, scale, model::learned_quantiles);
  CHECK(quantiles[0] == Approx(now + 0.2 * scale).margin(1e-3));
  CHECK(quantiles[1] == Approx(now + 1.0 * scale).margin(1e-3));
  CHECK(quantiles[2] == Approx(now + 1.8 * scale).margin(1e-3));
}

TEST_CASE("a peak has the ranks whose quantiles are that peak") {
  for (const auto& log_odds : {stands_still, rises}) {
    for (const double peak : {0.4, 0.42, 0.5, 0.57}) {
      const RankRange ranks = peak_rank(log_odds, now, scale, peak);
      const double middle = (ranks.from + ranks.to) / 2;
      const auto quantiles = peak_quantiles(log_odds, now, scale, {ranks.from - 1e-4, middle, ranks.to + 1e-4});
      INFO("peak " << peak << ", ranks " << ranks.from << " to " << ranks.to);
      CHECK(quantiles[0] <= peak + 1e-9);
      CHECK(quantiles[1] == Approx(peak).margin(1e-3));
      CHECK(quantiles[2] >= peak - 1e-9);
    }
  }
}

TEST_CASE("peaks that are what was said count as neither below p10 nor above p90") {
  Said said;
  for (int i = 0; i < 1000; ++i) said.peak_rank.push_back(peak_rank(stands_still, now, scale, now));
  // One in twenty rises.
  for (int i = 0; i < 50; ++i) said.peak_rank.push_back(peak_rank(stands_still, now, scale, now + 2 * scale));
  const auto quantiles = peak_quantiles(stands_still, now, scale, peak_ranks_of(said));
  CHECK(quantiles[0] == now);
  CHECK(quantiles[1] == now);
}
