// SPDX-License-Identifier: Apache-2.0
#pragma once
// A model that forecasts one resource of one VM. Implementations are free of I/O after construction.

#include <optional>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "model/sections.hpp"

namespace umbra::ports {

struct Reading {
  base::Instant at;
  double value = 0;  ///< fraction of capacity
};

struct ForecastQuery {
  std::span<const Reading> history;  ///< rising in time, no gaps filled in
  base::Instant origin;              ///< only readings at or before it are used
  base::Seconds within{0};
  double threshold = 0;
};

class Forecaster {
 public:
  virtual ~Forecaster() = default;
  virtual std::string name() const = 0;
  /// Nothing where the history is too short to say anything.
  virtual std::optional<model::ResourceForecast> forecast(const ForecastQuery& query) const = 0;
};

}  // namespace umbra::ports
