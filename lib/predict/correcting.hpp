// SPDX-License-Identifier: Apache-2.0
#pragma once
// What trees said against what came true: corrections of probabilities and of the peak's quantiles, and scores.

#include <vector>

#include "model/forecast_model.hpp"
#include "predict/examples.hpp"
#include "predict/peak.hpp"
#include "predict/scores.hpp"

namespace umbra::predict {

class LoadedModel;

/// What a model's trees say of examples, uncorrected.
struct Said {
  std::vector<float> log_odds;
  std::vector<RankRange> peak_rank;  ///< with which probability the peak was to stay below what it came to
};
Said said_of(const LoadedModel& model, const Examples& examples);

/// From raw log odds to those that came true, by isotonic regression.
model::Correction correction_of(const Said& said, const Examples& examples);
/// The quantiles of the trees' distribution that hold 10, 50 and 90 % of the peaks: below the first lies a tenth of
/// them, above the last another.
std::array<double, model::learned_quantiles.size()> peak_ranks_of(const Said& said);

/// The model's probabilities of saturation, corrected.
std::vector<double> probabilities(const LoadedModel& model, const Examples& examples);
/// The model's forecasts of the examples, corrected, with what came true. All of one VM, in their order.
std::vector<Verified> verified(const LoadedModel& model, const Examples& examples);

}  // namespace umbra::predict
