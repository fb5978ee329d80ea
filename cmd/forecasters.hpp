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

struct ChosenForecaster {
  std::unique_ptr<predict::Forecaster> forecaster;
  std::string fallback;  ///< why it is not the file's; empty: it is
};

/// The file's; where that can't be used and `may_fall_back`, the program's own, with a warning. Otherwise the error
/// tells of --model-fallback: which model forecasts is never guessed.
ChosenForecaster choose_forecaster(const std::string& file, bool may_fall_back);

}  // namespace umbra::cmd
