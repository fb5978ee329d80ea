// SPDX-License-Identifier: Apache-2.0
#pragma once
// Making a forecast model from recordings alone: how the one that ships was made. The same recordings, recipe and
// library give the same model, byte by byte.

#include <span>
#include <string>

#include "model/forecast_model.hpp"
#include "ports/trees.hpp"
#include "predict/drawing.hpp"
#include "predict/growing.hpp"
#include "predict/scores.hpp"

namespace umbra::predict {

struct Recipe {
  std::string name = "default";
  Lot lot;
  LayerGrowth growth{{.rounds = 250, .depth = 5, .eta = 0.06},
                     {.rounds = 250, .depth = 5, .eta = 0.08},
                     {.rounds = 80, .depth = 4, .eta = 0.1}};
};

/// One layer and its corrections. The corrections are learned from the last quarter of the time of a quarter of the VMs
/// by trees that were grown on the first three quarters of the others: recordings hold siblings that do the same at the
/// same time, and a split by VM alone would have seen them. That quarter is counted off in the order of how often VMs
/// came near what they have. Half of it is kept back at first, for the scores that the model carries, under the usual
/// questions. Then the trees are grown anew on all. Kind::invalid where there are too few examples.
model::ForecastModel train(std::span<const TrainingSet> sets, const ports::TreeGrower& grower, const Recipe& recipe,
                           const Told& told);

/// The figures of probabilities and peaks, as a model carries them.
model::Json summary_of(const Scores& scores);

}  // namespace umbra::predict
