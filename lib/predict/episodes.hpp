// SPDX-License-Identifier: Apache-2.0
#pragma once
// A few stretches of a back-test that are worth a look, chosen by rule: the same back-test gives the same ones.

#include <cstddef>
#include <span>
#include <vector>

#include "model/metrics.hpp"
#include "predict/backtest.hpp"
#include "predict/onsets.hpp"

namespace umbra::predict {

/// Why a stretch was chosen. The first three: of the VM that has most of them the middle one in time.
enum class Interest {
  warned,       ///< onsets with an alarm before them
  missed,       ///< onsets without
  false_alarm,  ///< alarms that nothing followed
  typical,      ///< the VM with the median number of onsets, of those that have any
  highest,      ///< the most that was ever said; only where there is no onset and no alarm
};

struct MeasuredReading {
  double time = 0;  ///< Unix seconds
  double value = 0;
  double peak = 0;
};

struct Episode {
  Interest interest = Interest::warned;
  model::VmName vm;
  std::size_t onsets = 0;  ///< of the VM in all, as are the next two
  std::size_t warned = 0;
  std::size_t false_alarms = 0;
  Event event;
  double from = 0;  ///< Unix seconds, as all times
  double to = 0;
  std::vector<MeasuredReading> readings;
  std::vector<Verified> forecasts;
  std::vector<double> onset_times;
};

/// At most `most`, different VMs before the same one again, never overlapping; of long stretches as many readings and
/// forecasts as a picture can show. `verified` is of a back-test of `series` by `plan`.
std::vector<Episode> episodes(std::span<const model::Series> series, const BacktestPlan& plan,
                              std::span<const Verified> verified, double alarm_level, std::size_t most);

}  // namespace umbra::predict
