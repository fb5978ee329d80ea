// SPDX-License-Identifier: Apache-2.0
#include "decide/decide.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "decide/inputs.hpp"
#include "model/metrics.hpp"
#include "model/precopy.hpp"

namespace umbra::decide {
namespace {

constexpr const char* model_name = "analytic/1";
constexpr double prior_outcomes = 3;  // estimates count as that many outcomes in which they were right

/// What the numbers come to, in seconds; unweighted.
struct Estimate {
  std::string binding;          ///< the resource that costs most; empty where none saturates
  double p_saturation = 0;      ///< of that resource
  double unmet_at_stay = 0;     ///< expected, over the horizon
  double unmet_per_chance = 0;  ///< the same were saturation certain
  double unmet_on_target = 0;
  double blackout = 0;  ///< corrected by outcomes
  double brownout = 0;
  model::PrecopyResult copy;
};

void estimate_staying(Estimate& e, const Numbers& n) {
  const double horizon = number(n, "within_s") * number(n, "horizon_windows");
  for (const model::Resource resource : model::all_resources) {
    const std::string name(to_string(resource));
    const double p = number_or(n, name + ".p_saturation", 0);
    const auto when = [&](const char* q) { return number_or(n, name + ".saturates_" + q + "_s", horizon); };
    const double saturates_at = (when("p10") + when("p50") + when("p90")) / 3;
    const double if_certain = std::max(0.0, horizon - saturates_at) * number(n, "saturation_loss");
    if (p * if_certain <= e.unmet_at_stay) continue;
    e.binding = name;
    e.p_saturation = p;
    e.unmet_per_chance = if_certain;
    e.unmet_at_stay = p * if_certain;
  }
}

/// Placement has room for the p90 peak, so that at most one in ten is left; none where there is room to spare.
void estimate_target(Estimate& e, const Numbers& n) {
  const double wanted = std::max(1e-9, number(n, "room_wanted"));
  const double room =
      std::min(number_or(n, "target.cpu_headroom", wanted), number_or(n, "target.memory_headroom", wanted));
  const double p = 0.10 * (1 - std::clamp(room / wanted, 0.0, 1.0));
  e.unmet_on_target = p * number(n, "within_s") * number(n, "horizon_windows") * number(n, "saturation_loss");
}

model::ByteCount bytes(double value) {
  return {static_cast<std::uint64_t>(std::clamp(value, 0.0, 9e18))};
}

void estimate_migration(Estimate& e, const Numbers& n) {
  model::PrecopyInput input;
  input.memory = bytes(number(n, "memory_bytes"));
  input.dirty_rate = {number(n, "dirty_bytes_per_s")};
  input.bandwidth = {number(n, "bandwidth_bytes_per_s")};
  input.downtime_limit = base::Seconds(number(n, "downtime_limit_s"));
  input.handover = base::Seconds(number(n, "handover_s"));
  e.copy = precopy(input);
  const double outcomes = number(n, "past_switched");
  const double correction =
      (outcomes * number(n, "past_blackout_ratio") + prior_outcomes) / (outcomes + prior_outcomes);
  e.blackout = e.copy.blackout.count() * correction;
  const double finish = number(n, "delta_bytes") / input.bandwidth.value;
  e.brownout = finish + (e.copy.total - e.copy.blackout).count();
}

/// Where earlier switchovers were taken back, more must be gained: up to three times as much.
double threshold_after(const Numbers& n) {
  const double failed = number(n, "past_failed");
  return number(n, "threshold_s") * (1 + 2 * failed / std::max(1.0, failed + number(n, "past_switched")));
}

/// Why nothing is moved, whatever the gain; nothing where nothing forbids it.
struct Gate {
  std::string reason;
  std::string would_change;
};

std::optional<Gate> gate(const Numbers& n) {
  if (number(n, "trigger") == 0) {
    return Gate{"no saturation is forecast within the window", "a forecast that triggers"};
  }
  if (number(n, "shadow_exists") == 0) {
    return Gate{"there is no shadow to move to", "a shadow that is seeded: umbra shadow, umbra replicate"};
  }
  if (number(n, "shadow_on_placed_host") == 0) {
    return Gate{"the shadow is on another host than the one placed", "a shadow on the placed host: umbra shadow"};
  }
  if (number(n, "shadow_level") < static_cast<double>(model::ShadowLevel::seeded)) {
    return Gate{"the shadow's disks are at no point yet", "a shadow that is seeded: umbra replicate"};
  }
  return std::nullopt;
}

void explain(model::Decision& d, const Estimate& e, const Numbers& n) {
  const double weight = number(n, "priority_weight");
  if (e.binding.empty()) {
    d.reasons.push_back("no resource is expected to run out");
  } else {
    d.reasons.push_back(
        fmt::format("{} saturates with a chance of {:.0f} %: {:.1f} s of unmet demand are expected if it stays",
                    e.binding, 100 * e.p_saturation, e.unmet_at_stay));
  }
  d.reasons.push_back(fmt::format("{:.1f} s of unmet demand are expected on the shadow's host", e.unmet_on_target));
  d.reasons.push_back(
      fmt::format("moving takes {:.1f} s with a blackout of {:.2f} s", e.brownout + e.blackout, e.blackout));
  if (!e.copy.converges) {
    d.reasons.push_back("memory is written faster than it can be sent: the blackout exceeds what is allowed");
  }
  d.reasons.push_back(fmt::format("the net benefit of {:.1f} s is {} the threshold of {:.1f} s (a second counts {:g})",
                                  d.net_benefit, d.net_benefit > d.threshold ? "above" : "not above", d.threshold,
                                  weight));
}

void explain_turning_points(model::Decision& d, const Estimate& e, const Numbers& n) {
  const bool pays = d.net_benefit > d.threshold;
  const char* other = pays ? "below" : "above";
  d.would_change.push_back(
      fmt::format("a net benefit {} {:.1f} s (it is {:.1f} s)", other, d.threshold, d.net_benefit));
  const double weight = number(n, "priority_weight");
  if (e.unmet_per_chance > 0 && weight > 0) {
    const double p = ((d.threshold + d.cost) / weight + e.unmet_on_target) / e.unmet_per_chance;
    if (p > 0 && p < 1) {
      d.would_change.push_back(
          fmt::format("a chance of saturation {} {:.1f} % (it is {:.1f} %)", other, 100 * p, 100 * e.p_saturation));
    }
  }
  const double affordable = d.gain - d.threshold;
  if (affordable > 0) {
    d.would_change.push_back(
        fmt::format("a cost {} {:.1f} s (it is {:.1f} s)", pays ? "above" : "below", affordable, d.cost));
  }
}

/// What was estimated on the way, beside the inputs; computed anew at each replay.
void record_estimates(Numbers& numbers, const Estimate& e) {
  numbers["estimate.blackout_s"] = e.blackout;
  numbers["estimate.precopy_blackout_s"] = e.copy.blackout.count();
  numbers["estimate.brownout_s"] = e.brownout;
  numbers["estimate.unmet_if_stays_s"] = e.unmet_at_stay;
  numbers["estimate.unmet_on_target_s"] = e.unmet_on_target;
  numbers["estimate.precopy_rounds"] = e.copy.rounds;
  numbers["estimate.precopy_bytes"] = static_cast<double>(e.copy.bytes.value);
}

model::Decision answer(const Numbers& numbers) {
  Estimate e;
  estimate_staying(e, numbers);
  estimate_target(e, numbers);
  estimate_migration(e, numbers);

  model::Decision d;
  d.model = model_name;
  const double weight = number(numbers, "priority_weight");
  d.gain = weight * (e.unmet_at_stay - e.unmet_on_target);
  d.cost = weight * (e.blackout + e.brownout * number(numbers, "brownout_slowdown")) +
           number(numbers, "load_share") * (e.brownout + e.blackout);
  d.net_benefit = d.gain - d.cost;
  d.threshold = threshold_after(numbers);

  const auto closed = gate(numbers);
  d.migrate = !closed && d.net_benefit > d.threshold;
  if (closed) {
    d.reasons.push_back(closed->reason);
    d.would_change.push_back(closed->would_change);
  }
  explain(d, e, numbers);
  // With the gate closed, a benefit that suffices already would change nothing.
  if (!closed || d.net_benefit <= d.threshold) explain_turning_points(d, e, numbers);
  d.inputs = numbers;
  record_estimates(d.inputs, e);
  return d;
}

}  // namespace

Past past_of(std::span<const model::Outcome> outcomes) {
  Past past;
  double logarithms = 0;
  for (const model::Outcome& outcome : outcomes) {
    // A walk that recovery finished has moved: its old primary is told.
    if (outcome.result == "rolled_back" || (outcome.result == "recovered" && outcome.primary.empty())) ++past.failed;
    // What the model itself had said: the walk's own estimate is corrected by earlier walks already.
    const auto estimate = outcome.blackout_model_ms ? outcome.blackout_model_ms : outcome.blackout_estimate_ms;
    if (outcome.result != "switched" || !outcome.blackout_ms || !estimate) continue;
    if (!(*outcome.blackout_ms > 0) || !(*estimate > 0)) continue;
    ++past.switched;
    logarithms += std::log(*outcome.blackout_ms / *estimate);
  }
  if (past.switched > 0) past.blackout_ratio = std::exp(logarithms / past.switched);
  return past;
}

model::Decision decide(const Situation& situation) {
  return answer(inputs_of(situation));
}

model::Decision replay(const model::Decision& recorded) {
  if (recorded.model != model_name) {
    throw base::Error(
        base::Kind::unsupported,
        fmt::format("the decision was made by model \"{}\", this umbra has \"{}\"", recorded.model, model_name),
        "replay it with the version of umbra that made it");
  }
  return answer(recorded.inputs);
}

std::optional<base::Millis> blackout_estimate(const model::Decision& decision) {
  const auto it = decision.inputs.find("estimate.precopy_blackout_s");
  if (it == decision.inputs.end()) return std::nullopt;
  return std::chrono::round<base::Millis>(base::Seconds(it->second));
}

}  // namespace umbra::decide
