// SPDX-License-Identifier: Apache-2.0
#pragma once
// predict: whether, when and in what a VM will run out of room. Pure: values in, values out; the history comes from the
// caller, and trees stand behind the port of ports/trees.hpp.

#include <array>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/config.hpp"
#include "model/metrics.hpp"
#include "model/sections.hpp"
#include "predict/estimate.hpp"
#include "predict/past.hpp"

namespace umbra::predict {

/// The thresholds that the configuration sets.
using Configured = std::map<model::Resource, model::Fraction>;

struct Question {
  base::Instant origin;  ///< the present, or an instant of the past in a backtest
  base::Seconds within{1800};
  model::Priority priority = model::Priority::normal;
  std::string source{};  ///< where the history came from, for the record
};

/// Forecasts of many VMs, made together.
class Round {
 public:
  explicit Round(Forecaster& forecaster) : m_forecaster(forecaster) {}

  /// All resources of a VM that have enough readings up to the origin, the newest no older than the window.
  /// Kind::invalid where no resource has; such a VM gets no place in finish(). Thresholds that are not configured come
  /// from the same readings. After any other error a part of its questions may be put, and the round is of no use.
  void add(const model::Series& series, const Configured& configured, const Question& question);
  /// One for each VM added since the last call, in their order. It triggers where waiting is expected to cost as much
  /// as acting, for any resource; the binding one is the one where waiting costs most, and of equals the first to
  /// saturate. Kind::internal where questions were put, or answered, that are no VM's: what follows them would be
  /// another's.
  std::vector<model::Forecast> finish();

 private:
  struct Asked {
    model::Forecast forecast;
    model::Priority priority;
  };
  void know(const model::Series& series, base::Instant origin);

  Forecaster& m_forecaster;
  std::vector<Asked> m_asked;
  std::size_t m_put = 0;                                  ///< questions since the last finish()
  std::array<Past, model::all_resources.size()> m_pasts;  ///< of the VM at hand; their memory serves the next
};

/// Kind::invalid: nothing is known of the VM.
base::Error no_history(const model::VmName& vm);

/// A single VM's.
model::Forecast forecast(const model::Series& series, const Configured& configured, Forecaster& forecaster,
                         const Question& question);

}  // namespace umbra::predict
