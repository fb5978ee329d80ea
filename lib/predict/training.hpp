// SPDX-License-Identifier: Apache-2.0
#pragma once
// Making a forecast model from traces. The same traces, recipe and library give the same model, byte by byte.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/forecast_model.hpp"
#include "model/metrics.hpp"
#include "ports/trees.hpp"
#include "predict/examples.hpp"

namespace umbra::predict {

/// Series that were recorded together.
struct TrainingSet {
  std::string name;
  std::vector<model::Series> series;
};

struct Recipe {
  std::string name = "default";
  std::uint64_t seed = 1;
  std::size_t most_rows = 100'000;  ///< of one resource of one set
  ports::Growth saturation{.rounds = 250, .depth = 5, .eta = 0.06};
  ports::Growth peak{.rounds = 250, .depth = 5, .eta = 0.08};
  ports::Growth first{.rounds = 80, .depth = 4, .eta = 0.1};
};

/// What a long training tells on its way.
using Told = std::function<void(const std::string&)>;

/// One layer and its corrections. The corrections are learned from a quarter of the VMs by trees that were grown on the
/// others; then the trees are grown anew on all. Kind::invalid where there are too few examples.
model::ForecastModel train(std::span<const TrainingSet> sets, const ports::TreeGrower& grower, const Recipe& recipe,
                           const Told& told);

}  // namespace umbra::predict
