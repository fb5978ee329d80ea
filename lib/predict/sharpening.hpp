// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a fleet's own past adds to a model that was trained on others: a layer, grown and tried on that past alone.

#include <optional>
#include <string>
#include <vector>

#include "predict/drawing.hpp"
#include "predict/growing.hpp"

namespace umbra::predict {

struct SiteLot {
  std::vector<model::Resource> resources;
  std::uint64_t seed = 1;
  double until = std::numeric_limits<double>::infinity();  ///< nothing later is looked at, Unix seconds
  double tested_from = 0;                                  ///< no origin before it serves as a test
  std::size_t most_rows = 20'000;                          ///< of one resource
  std::size_t most_vms = 200;                              ///< drawn by their names, the same each time
};

/// How a model did on the latest part of the past. Lower is better.
struct Trial {
  std::size_t origins = 0;
  std::size_t saturations = 0;
  double brier = 0;
  double onset_brier = 0;  ///< of origins with a quiet window before them
  double pinball = 0;      ///< of the peak's quantiles
};

struct Sharpened {
  std::optional<model::ForecastLayer> layer;  ///< where it did better
  Trial before;
  Trial after;
  std::string verdict;  ///< in words
};

/// Where a VM stands in the drawing of some from many: by its name and uuid, the same each time.
std::uint64_t draw_rank(const model::Series& series);

/// Grows a layer on `under` from the first three quarters of the examples and tries both on the rest, which lies later
/// (forward validation). Where probabilities got better and the peak's quantiles no worse, the layer is grown anew from
/// all of them. One fleet's weeks are few, and what they say most loudly is which VM did what: the layer grows slowly,
/// is shallow, sees none of telling_columns() as such and counts half. Tried on three groups of VMs with a week each,
/// trees at full weight lost in probabilities what they won in ranks; at half weight they won in both. What it has to
/// beat is `rival`; null: `under`.
Sharpened sharpen(const LoadedModel& under, std::span<const model::Series> series, const SiteLot& lot,
                  const ports::TreeGrower& grower, const Told& told, const LoadedModel* rival = nullptr);

}  // namespace umbra::predict
