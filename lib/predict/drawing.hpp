// SPDX-License-Identifier: Apache-2.0
#pragma once
// Drawing examples from recordings, so that neither a long one nor a long-lived VM is all that is learned from.

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "model/metrics.hpp"
#include "predict/examples.hpp"

namespace umbra::predict {

/// Series that were recorded together.
struct TrainingSet {
  std::string name;
  std::vector<model::Series> series;
};

struct Lot {
  std::uint64_t seed = 1;
  std::size_t most_rows = 100'000;                         ///< of one resource of one set
  unsigned most_asks = 24;                                 ///< different questions for each VM
  double until = std::numeric_limits<double>::infinity();  ///< windows that end no later; nothing after it is looked at
};

/// Varied examples of series that were recorded together, VM by VM. The same readings and lot give the same.
void draw_examples(std::span<const model::Series> series, model::Resource resource, const Lot& lot,
                   const std::function<void(const model::Series&, Examples&&)>& each);

/// How many readings of a resource series hold up to a time.
std::size_t count_readings(std::span<const model::Series> series, model::Resource resource,
                           double until = std::numeric_limits<double>::infinity());

/// The time before which that share of all samples lies, Unix seconds; NaN where there is none.
double time_at(std::span<const model::Series> series, double share);

/// A number from a name, the same everywhere (FNV-1a).
std::uint64_t number_of(const std::string& name);

}  // namespace umbra::predict
