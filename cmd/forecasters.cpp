// SPDX-License-Identifier: Apache-2.0
#include "cmd/forecasters.hpp"

#include <fmt/core.h>

#include "adapters/xgb/default_model.hpp"
#include "adapters/xgb/grower.hpp"
#include "adapters/xgb/model_file.hpp"
#include "base/log.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::cmd {

model::ForecastModel saved_model(const std::string& file) {
  return file.empty() ? xgb::decode_model(xgb::default_model()) : xgb::read_model_file(file);
}

std::unique_ptr<predict::Forecaster> forecaster_of(const std::string& file) {
  const model::ForecastModel saved = saved_model(file);
  return base::with_context(file.empty() ? "the model that ships" : file, [&] {
    return std::make_unique<predict::TreeForecaster>(
        std::make_shared<const predict::LoadedModel>(saved, xgb::Grower()));
  });
}

ChosenForecaster choose_forecaster(const std::string& file, bool may_fall_back) {
  try {
    return {forecaster_of(file), {}};
  } catch (base::Error& error) {
    if (file.empty()) throw;
    if (!may_fall_back) {
      error.set_hint(fmt::format("{}; or add --model-fallback to forecast with the model that ships", error.hint()));
      throw;
    }
    ChosenForecaster own{forecaster_of({}), error.what()};
    base::log(base::Level::warning,
              fmt::format("{}; forecasting with {} instead", own.fallback, own.forecaster->name()));
    return own;
  }
}

}  // namespace umbra::cmd
