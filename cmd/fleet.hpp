// SPDX-License-Identifier: Apache-2.0
#pragma once
// The forecasts of many VMs from the store's history: while one thread reads on, others look at what was read.

#include <optional>
#include <span>
#include <vector>

#include "base/cancel.hpp"
#include "base/error.hpp"
#include "cmd/forecasters.hpp"
#include "ports/store.hpp"
#include "predict/forecast.hpp"

namespace umbra::cmd {

struct FleetQuestion {
  model::Vm vm;
  predict::Configured configured;
  predict::Question question;
};

/// One of both.
struct FleetAnswer {
  std::optional<model::Forecast> forecast;
  /// Kind::invalid where the history is too short or too old, Kind::corrupt where it is damaged.
  std::optional<base::Error> error;
};

/// One for each question, in their order, from the history of `since` and later. That of a VM is told under its uuid;
/// where there is none, under its name, which is all that some sources know. Memory grows with the questions by a few
/// kB each, not with the length of the histories. Kind::cancelled once a stop was requested.
std::vector<FleetAnswer> forecast_fleet(ports::HistoryStore& history, const base::CancelToken& cancel,
                                        const ChosenModel& chosen, std::span<const FleetQuestion> questions,
                                        base::Instant since);

}  // namespace umbra::cmd
