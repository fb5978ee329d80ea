// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the benchmarks measure with, and the table that they print.

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace umbra::bench {

inline double seconds_of(const std::function<void()>& act) {
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Umbra's figure, the peer's, and how many times better Umbra's is.
inline void tell(const char* what, const char* unit, double own, double peer, bool more_is_better = false) {
  fmt::print("{:<44}{:>14.2f}{:>14.2f} {:<10}{:>8.2f}\n", what, own, peer, unit,
             more_is_better ? own / peer : peer / own);
}

}  // namespace umbra::bench
