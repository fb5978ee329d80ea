// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which model a run forecasts with, and how.

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "model/forecast_model.hpp"
#include "model/metrics.hpp"
#include "ports/trees.hpp"
#include "predict/estimate.hpp"

namespace umbra::predict {
class LoadedModel;
}

namespace umbra::cmd {

class Session;

/// Of a history, no more are learned from: memory holds so many.
inline constexpr std::size_t most_site_vms = 500;

const ports::TreeGrower& trees();

/// Kind::usage for a window that nothing is forecast of.
void check_window(const std::optional<base::Seconds>& within);

/// The model of that file; of the program itself where `file` is empty.
model::ForecastModel saved_model(const std::string& file);
/// The site's, where it has one; else the one that ships.
model::ForecastModel model_in_use(Session& session);

struct ChosenModel {
  std::shared_ptr<const predict::LoadedModel> model;
  std::string fallback;  ///< why it is not the one that was asked for; empty: it is
};

/// What becomes of a run whose model is damaged or of another version: which one forecasts is never guessed.
enum class Fallback {
  none,     ///< it is an error
  offered,  ///< an error that tells of --model-fallback
  taken,    ///< the program's own forecasts, with a warning
};

/// The file's; the program's own where `file` is empty.
ChosenModel choose_model(const std::string& file, Fallback fallback);
/// The one in use.
ChosenModel choose_model_in_use(Session& session, Fallback fallback);

std::unique_ptr<predict::Forecaster> forecaster_of(const ChosenModel& chosen);
/// One that goes on learning from `series`, which must outlive it.
std::unique_ptr<predict::Forecaster> learning_forecaster_of(Session& session, const ChosenModel& chosen,
                                                            std::span<const model::Series> series);

}  // namespace umbra::cmd
