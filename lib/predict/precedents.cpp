// SPDX-License-Identifier: Apache-2.0
#include "predict/precedents.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace umbra::predict {
namespace {

constexpr std::size_t most_near = 2016;  // readings: a week of them every five minutes
constexpr std::size_t most_own = 288;
constexpr std::size_t least_own = 12;

std::span<const Precedent> last_of(std::span<const Precedent> all, std::size_t most) {
  return all.last(std::min(most, all.size()));
}

}  // namespace

std::array<Nearest, 2> nearest(std::span<const Precedent> all, const Precedent& origin) {
  const std::span<const Precedent> some = last_of(all, most_near);
  std::vector<std::pair<float, float>> near;  // distance and rise
  near.reserve(some.size());
  for (const Precedent& p : some) {
    near.emplace_back(std::abs(p.value - origin.value) + std::abs(p.mean - origin.mean) / 2 +
                          std::abs(p.highest - origin.highest) / 2,
                      p.rise);
  }
  std::array<Nearest, 2> result{Nearest{12}, Nearest{50}};
  // The many first: the few are then among them.
  for (auto one = result.rbegin(); one != result.rend(); ++one) {
    if (near.size() < one->count) continue;
    const auto end = near.begin() + static_cast<std::ptrdiff_t>(one->count);
    std::nth_element(near.begin(), end - 1, near.end());
    near.erase(end, near.end());
    one->distance = near.back().first;
    for (const auto& [distance, rise] : near) one->rises.push_back(rise);
    std::sort(one->rises.begin(), one->rises.end());
  }
  return result;
}

std::array<double, own_percents.size()> own_rises(std::span<const Precedent> all) {
  std::array<double, own_percents.size()> percentiles{missing, missing, missing};
  std::vector<float> rises;
  rises.reserve(most_own);
  for (const Precedent& p : last_of(all, most_own)) rises.push_back(p.rise);
  if (rises.size() <= least_own) return percentiles;
  auto from = rises.begin();
  for (std::size_t i = 0; i < percentiles.size(); ++i) {
    const std::size_t rank = rises.size() * static_cast<std::size_t>(own_percents[i]) / 100;
    const auto at = rises.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(from, at, rises.end());
    percentiles[i] = static_cast<double>(*at);
    from = at + 1;  // what lies before it is lower
  }
  return percentiles;
}

}  // namespace umbra::predict
