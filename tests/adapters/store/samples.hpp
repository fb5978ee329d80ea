// SPDX-License-Identifier: Apache-2.0
#pragma once
// Generators of samples, and what the laws of the history say of them.

#include <rapidcheck.h>

#include <algorithm>
#include <vector>

#include "adapters/store/block.hpp"

namespace umbra::test {

/// A fraction of five decimals or fewer; now and then one above 1.
inline rc::Gen<double> any_fraction() {
  return rc::gen::map(rc::gen::inRange(0, 120000), [](int units) { return units / 100000.0; });
}

/// Up to a hundred samples after `start`, oldest first, some values missing; with peaks where asked.
inline rc::Gen<std::vector<model::Sample>> any_samples(base::Instant start, bool peaks) {
  return rc::gen::exec([=] {
    std::vector<model::Sample> samples(*rc::gen::inRange<std::size_t>(1, 100));
    const base::Millis longest{*rc::gen::element(1500, 61000, 900000, 7200000)};
    base::Instant now = start;
    for (model::Sample& sample : samples) {
      now += base::Millis{*rc::gen::inRange<std::int64_t>(1, longest.count())};
      sample.at = now;
      for (const model::Resource r : model::all_resources) {
        if (*rc::gen::weightedElement<bool>({{1, false}, {5, true}})) sample[r] = *any_fraction();
        if (!peaks || !sample[r] || *rc::gen::arbitrary<bool>()) continue;
        const double peak = *store::rounded(*sample[r] + *any_fraction());
        if (peak > *sample[r]) sample.peaks[static_cast<std::size_t>(r)] = peak;
      }
    }
    return samples;
  });
}

inline bool same(const std::vector<model::Sample>& a, const std::vector<model::Sample>& b) {
  return std::ranges::equal(a, b, [](const model::Sample& x, const model::Sample& y) {
    return x.at == y.at && x.values == y.values && x.peaks == y.peaks;
  });
}

}  // namespace umbra::test
