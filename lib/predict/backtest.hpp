// SPDX-License-Identifier: Apache-2.0
#pragma once
// The walk forward through a trace: at each origin the forecast that would have been given then.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/metrics.hpp"
#include "predict/estimate.hpp"
#include "predict/scores.hpp"

namespace umbra::predict {

struct BacktestPlan {
  model::Resource resource = model::Resource::cpu;
  Ask ask;
  double apart_s = 0;  ///< origins of one VM lie at least that far apart; 0: every reading is one
};

struct TraceForecast {
  const model::VmName& vm;
  double time;  ///< Unix seconds
  Estimate estimate;
};

/// What simpler forecasters go by, for each verified forecast: a value that the peak may have.
struct Figures {
  std::vector<double> persistence;  ///< the value at the origin
  std::vector<double> seasonal;     ///< the peak of the same stretch a day before; persistence's where there is none
  std::vector<double> holt;         ///< level and trend (Holt 1957), a window on
};

struct Backtest {
  std::size_t origins = 0;
  std::vector<Verified> verified;  ///< those whose window was seen
  Figures figures;                 ///< of those
};

/// Walks VM by VM; `each` gets every forecast, whether its window was seen or not.
Backtest backtest(std::span<const model::Series> series, const BacktestPlan& plan, Forecaster& forecaster,
                  const std::function<void(const TraceForecast&)>& each);

}  // namespace umbra::predict
