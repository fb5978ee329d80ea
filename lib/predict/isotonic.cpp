// SPDX-License-Identifier: Apache-2.0
#include "predict/isotonic.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace umbra::predict {
namespace {

/// A level and how many of the sorted rows stand in it.
struct Pool {
  Level level;
  std::size_t rows = 0;
  void take(const Pool& next) {
    const double weight = level.weight + next.level.weight;
    level.mean_x = (level.mean_x * level.weight + next.level.mean_x * next.level.weight) / weight;
    level.mean_y = (level.mean_y * level.weight + next.level.mean_y * next.level.weight) / weight;
    level.weight = weight;
    rows += next.rows;
  }
};

std::vector<std::size_t> order_of(std::span<const double> x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  return order;
}

std::vector<Pool> pooled(std::span<const double> x, std::span<const double> y, const std::vector<std::size_t>& order) {
  std::vector<Pool> pools;
  for (std::size_t i = 0; i < order.size();) {
    Pool equal{{x[order[i]], y[order[i]], 1}, 1};
    const double at = x[order[i]];
    for (++i; i < order.size() && x[order[i]] == at; ++i) equal.take({{x[order[i]], y[order[i]], 1}, 1});
    pools.push_back(equal);
    while (pools.size() > 1 && pools[pools.size() - 2].level.mean_y >= pools.back().level.mean_y) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back().take(last);
    }
  }
  return pools;
}

}  // namespace

std::vector<Level> isotonic(std::span<const double> x, std::span<const double> y) {
  std::vector<Level> levels;
  for (const Pool& pool : pooled(x, y, order_of(x))) levels.push_back(pool.level);
  return levels;
}

std::vector<double> isotonic_at(std::span<const double> x, std::span<const double> y) {
  const std::vector<std::size_t> order = order_of(x);
  std::vector<double> fitted(x.size());
  std::size_t row = 0;
  for (const Pool& pool : pooled(x, y, order)) {
    for (const std::size_t end = row + pool.rows; row < end; ++row) fitted[order[row]] = pool.level.mean_y;
  }
  return fitted;
}

}  // namespace umbra::predict
