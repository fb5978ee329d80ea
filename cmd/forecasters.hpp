// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which model a run forecasts with, and how.

#include <memory>
#include <span>
#include <string>

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

/// The model of that file; of the program itself where `file` is empty.
model::ForecastModel saved_model(const std::string& file);
/// The site's, where it has one; else the one that ships.
model::ForecastModel model_in_use(Session& session);

struct ChosenModel {
  std::shared_ptr<const predict::LoadedModel> model;
  std::string fallback;  ///< why it is not the one that was asked for; empty: it is
};

/// The file's; where that can't be used and `may_fall_back`, the program's own, with a warning. Otherwise the error
/// tells of --model-fallback: which model forecasts is never guessed.
ChosenModel choose_model(const std::string& file, bool may_fall_back);
/// The one in use, which may be damaged too; likewise.
ChosenModel choose_model_in_use(Session& session, bool may_fall_back);

std::unique_ptr<predict::Forecaster> forecaster_of(const ChosenModel& chosen);
/// One that goes on learning from `series`, which must outlive it.
std::unique_ptr<predict::Forecaster> learning_forecaster_of(const ChosenModel& chosen,
                                                            std::span<const model::Series> series);

}  // namespace umbra::cmd
