// SPDX-License-Identifier: Apache-2.0
#include "predict/waiting.hpp"

#include <algorithm>
#include <cmath>

#include "model/prices.hpp"

namespace umbra::predict {
namespace {

constexpr double unprepared_s = 300;
constexpr double copying_s = 100;
constexpr double urgent_share = 1.0 / 3;  // of the window
constexpr double least_severity = 0.8;
constexpr double most_severity = 1.2;

double urgency(const model::Quantiles& first_s, double window_s) {
  const auto left = [&](double first) { return std::clamp(1 - first / window_s, 0.0, 1.0); };
  const double share = (left(first_s.p10) + left(first_s.p50) + left(first_s.p90)) / 3;
  return std::min(1.0, share / urgent_share);
}

/// The median of the peaks that saturate: these are the upper part, `p`, of all, whose middle is at rank 1 - p / 2.
double peak_if_saturated(const Estimate& estimate) {
  const model::Quantiles& peak = estimate.peak;
  const double rank = std::min(0.9, 1 - estimate.p_saturation / 2);
  return peak.p50 + (rank - 0.5) / 0.4 * (peak.p90 - peak.p50);
}

double severity(double peak, double threshold) {
  const double over = std::clamp((peak - threshold) / std::max(1e-6, 1 - threshold), 0.0, 1.0);
  return std::lerp(least_severity, most_severity, over);
}

/// To a millisecond, which is finer than any of this is known: figures that are written and those in memory are equal.
double to_milliseconds(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

}  // namespace

double cost_of_waiting(const Estimate& estimate, double threshold, double window_s, model::Priority priority) {
  const double saturated_s = unprepared_s * urgency(estimate.first_s, window_s);
  const double loss = model::saturation_loss * severity(peak_if_saturated(estimate), threshold);
  return to_milliseconds(model::weight_of(priority) * estimate.p_saturation * saturated_s * loss);
}

double cost_of_acting(model::Priority priority) {
  return to_milliseconds(copying_s * (model::weight_of(priority) * model::brownout_slowdown + model::load_share));
}

}  // namespace umbra::predict
