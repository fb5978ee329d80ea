// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a model says about one question, and the interface of a model: questions are put together and answered at once,
// since trees are quick in batches and slow one by one.

#include <string>
#include <vector>

#include "model/sections.hpp"
#include "predict/features.hpp"

namespace umbra::predict {

struct Estimate {
  double p_saturation = 0;
  model::Quantiles first_s;  ///< time to saturation where it comes
  model::Quantiles peak;
  bool learned = false;  ///< by a model that this run has sharpened
};

/// Six decimals are finer than any reading; forecasts that are written and those in memory are the same.
double six_decimals(double x);

class Forecaster {
 public:
  virtual ~Forecaster() = default;
  virtual std::string name() const = 0;
  /// Keeps what it needs of the view, which may end with the call.
  virtual void ask(const View& view) = 0;
  /// One for each question since the last call, in their order.
  virtual std::vector<Estimate> answers() = 0;
};

}  // namespace umbra::predict
