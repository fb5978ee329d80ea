// SPDX-License-Identifier: Apache-2.0
#pragma once
// A trained forecast model as plain values: trees as saved bytes, what corrects them, where they came from.

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "model/record.hpp"

namespace umbra::model {

/// A rising, piecewise linear map; beyond its ends it goes on with slope 1. Empty: what goes in comes out.
struct Correction {
  std::vector<double> from;  ///< strictly rising
  std::vector<double> to;    ///< as many, rising
  double operator()(double x) const;
};

/// The quantiles that are learned: p10, p50, p90.
inline constexpr std::array learned_quantiles{0.1, 0.5, 0.9};

using SavedTrees = std::vector<std::byte>;

/// Trees that were trained together. One above the first may lack some: there it adds nothing.
struct ForecastLayer {
  std::string name;       ///< "default/2026.11"
  double weight = 1;      ///< what it adds counts so much
  Json training;          ///< traces with their digests and provenance, settings, numbers of rows
  SavedTrees saturation;  ///< log odds that the threshold is reached within the window
  SavedTrees peak;        ///< log odds that the window's peak reaches a level
  std::array<SavedTrees, learned_quantiles.size()> first;  ///< of the time to saturation where it comes, in windows
};

/// Layers add up: each was trained on top of those before it.
struct ForecastModel {
  std::vector<std::string> features;  ///< names, in the order of the trees' columns
  std::vector<ForecastLayer> layers;  ///< at least one; the default first
  Correction log_odds;                ///< of the sum, learned on data not trained on (isotonic regression)
  /// Which quantile of the trees' distribution of the peak holds what share of the peaks, on data not trained on
  /// (distributional conformal prediction, Chernozhukov et al. 2021).
  std::array<double, learned_quantiles.size()> peak_ranks = learned_quantiles;
  Json scores;  ///< of back-tests on data not trained on

  const std::string& name() const { return layers.back().name; }
};

/// All but the trees, as the head of a model file and for `umbra model show`.
Json to_json(const ForecastModel& model);
/// The inverse, with layers whose trees are empty. Kind::invalid where a field is missing or wrong.
ForecastModel forecast_model_from(const Json& json);

}  // namespace umbra::model
