// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which forecaster a run uses.

#include <memory>
#include <string>

#include "model/forecast_model.hpp"
#include "predict/estimate.hpp"

namespace umbra::cmd {

/// The model of that file; of the program itself where `file` is empty.
model::ForecastModel saved_model(const std::string& file);

/// Its forecaster.
std::unique_ptr<predict::Forecaster> forecaster_of(const std::string& file);

}  // namespace umbra::cmd
