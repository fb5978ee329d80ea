// SPDX-License-Identifier: Apache-2.0
#include "cmd/forecasters.hpp"

#include "adapters/xgb/default_model.hpp"
#include "adapters/xgb/grower.hpp"
#include "adapters/xgb/model_file.hpp"
#include "predict/tree_forecaster.hpp"

namespace umbra::cmd {

model::ForecastModel saved_model(const std::string& file) {
  return file.empty() ? xgb::decode_model(xgb::default_model()) : xgb::read_model_file(file);
}

std::unique_ptr<predict::Forecaster> forecaster_of(const std::string& file) {
  return std::make_unique<predict::TreeForecaster>(
      std::make_shared<const predict::LoadedModel>(saved_model(file), xgb::Grower()));
}

}  // namespace umbra::cmd
