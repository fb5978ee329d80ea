// SPDX-License-Identifier: Apache-2.0
#include "cmd/forecasters.hpp"

#include <fmt/core.h>

#include <functional>

#include "adapters/xgb/default_model.hpp"
#include "adapters/xgb/grower.hpp"
#include "adapters/xgb/model_file.hpp"
#include "base/log.hpp"
#include "cmd/session.hpp"
#include "predict/learning_forecaster.hpp"

namespace umbra::cmd {
namespace {

constexpr const char* site_model = "the site's own model";

using Loaded = std::shared_ptr<const predict::LoadedModel>;

Loaded loaded(const std::string& where, const model::ForecastModel& saved) {
  return base::with_context(where, [&] { return std::make_shared<const predict::LoadedModel>(saved, trees()); });
}

Loaded the_one_that_ships() {
  return loaded("the model that ships", saved_model({}));
}

model::ForecastModel decode_site_model(std::span<const std::byte> file) {
  return base::with_context(site_model, [&] { return xgb::decode_model(file); });
}

/// `load`, or else, where that was asked for, the one that ships. It is offered where a model is damaged or of another
/// version: of a name that leads nowhere the name is the matter.
ChosenModel chosen(const std::function<Loaded()>& load, Fallback fallback) {
  try {
    return {load(), {}};
  } catch (base::Error& error) {
    const bool unusable = error.kind() == base::Kind::corrupt || error.kind() == base::Kind::unsupported;
    if (error.kind() == base::Kind::cancelled || fallback == Fallback::none) throw;
    if (fallback == Fallback::offered) {
      if (!unusable) throw;
      error.set_hint(fmt::format("{}; or add --model-fallback to forecast with the model that ships", error.hint()));
      throw;
    }
    ChosenModel own{the_one_that_ships(), error.what()};
    base::log(base::Level::warning,
              fmt::format("{}; forecasting with {} instead", own.fallback, own.model->values().name()));
    return own;
  }
}

}  // namespace

void check_window(const std::optional<base::Seconds>& within) {
  if (within && (*within < model::shortest_window || *within > model::longest_window))
    throw base::Error(base::Kind::usage, "--within takes 1m to 6h");
}

const ports::TreeGrower& trees() {
  static const xgb::Grower grower;
  return grower;
}

model::ForecastModel saved_model(const std::string& file) {
  return file.empty() ? xgb::decode_model(xgb::default_model()) : xgb::read_model_file(file);
}

model::ForecastModel model_in_use(Session& session) {
  const auto file = session.models().in_use();
  return file ? decode_site_model(*file) : saved_model({});
}

ChosenModel choose_model(const std::string& file, Fallback fallback) {
  if (file.empty()) return {the_one_that_ships(), {}};
  return chosen([&] { return loaded(file, saved_model(file)); }, fallback);
}

ChosenModel choose_model_in_use(Session& session, Fallback fallback) {
  const auto file = session.models().in_use();
  if (!file) return {the_one_that_ships(), {}};
  const auto load = [&] {
    try {
      return loaded(site_model, decode_site_model(*file));
    } catch (base::Error& error) {
      throw error.set_hint("umbra model train --history, or umbra model back");
    }
  };
  return chosen(load, fallback);
}

std::unique_ptr<predict::Forecaster> forecaster_of(const ChosenModel& chosen) {
  return std::make_unique<predict::TreeForecaster>(chosen.model);
}

std::unique_ptr<predict::Forecaster> learning_forecaster_of(Session& session, const ChosenModel& chosen,
                                                            std::span<const model::Series> series) {
  return std::make_unique<predict::LearningForecaster>(chosen.model, trees(), series,
                                                       [&session](const std::string& text) {
                                                         session.cancel().check();
                                                         base::log(base::Level::debug, text);
                                                       });
}

}  // namespace umbra::cmd
