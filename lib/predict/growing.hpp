// SPDX-License-Identifier: Apache-2.0
#pragma once
// Growing one layer of a forecast model from examples, alone or on top of another model.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/forecast_model.hpp"
#include "ports/trees.hpp"
#include "predict/examples.hpp"

namespace umbra::predict {

class LoadedModel;

/// What a long training tells on its way.
using Told = std::function<void(const std::string&)>;

/// How the trees of a layer grow; of a part without rounds it has none.
struct LayerGrowth {
  ports::Growth saturation;
  ports::Growth peak;
  ports::Growth first;
  std::vector<std::size_t> hidden{};  ///< columns that the trees do not see
};

/// Examples with less of one kind teach nothing.
inline constexpr std::size_t least_examples = 200;

/// A layer on top of `under`, without the time to saturation, of which one fleet has too few to tell more; null: on
/// nothing and whole, and then Kind::invalid where too few of the examples saturate.
model::ForecastLayer grow_layer(const Examples& examples, const LoadedModel* under, const ports::TreeGrower& grower,
                                const LayerGrowth& growth, std::uint64_t seed, const Told& told);

}  // namespace umbra::predict
