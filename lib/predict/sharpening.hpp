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
  std::optional<Ask> ask;  ///< the question that will be asked, where it is known; else varied ones
  std::uint64_t seed = 1;
  double until = std::numeric_limits<double>::infinity();  ///< nothing later is looked at, Unix seconds
  double tested_from = 0;                                  ///< no origin before it serves as a test
  std::size_t most_rows = 60'000;                          ///< of one resource
  std::size_t most_vms = 1500;                             ///< drawn by their names, the same each time
  std::size_t least_vms = 1;                               ///< of fewer nothing is learned
  std::size_t least_saturating_vms = 1;                    ///< of fewer nothing about saturation
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
  std::optional<model::ForecastLayer> layer;  ///< those of its parts that did better, where one did
  Trial before;
  Trial after;
  std::string verdict;  ///< in words
};

/// Where a VM stands in the drawing of some from many: by its name and uuid, the same each time.
std::uint64_t draw_rank(const model::Series& series);

/// Grows a layer on `under` from the first three quarters of the examples and tries both on the rest, which lies later
/// (forward validation). The trees of saturation are grown anew from all where probabilities got better, those of the
/// peak where its quantiles did. One fleet's weeks are few, and what they say most loudly is which VM did what: the
/// layer grows slowly, is shallow, sees none of telling_columns() as such and counts less than half. Tried on groups of
/// VMs with a week each, trees at full weight lost in probabilities what they won in ranks; so weighed they won in
/// both. Where there is a `rival`, it has to beat that in probabilities, without a loss in the peak, or is not kept.
Sharpened sharpen(const LoadedModel& under, std::span<const model::Series> series, const SiteLot& lot,
                  const ports::TreeGrower& grower, const Told& told, const LoadedModel* rival = nullptr);

}  // namespace umbra::predict
