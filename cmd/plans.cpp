// SPDX-License-Identifier: Apache-2.0
#include "cmd/plans.hpp"

#include <fmt/core.h>

namespace umbra::cmd {

std::string told_time(const replicate::PassPlan& plan) {
  if (plan.duration) return fmt::format(", in about {} ({})", base::to_human(*plan.duration), plan.rate);
  return plan.bytes ? fmt::format(", how long is not known: {}", plan.rate) : "";
}

model::Json plan_json(const replicate::PassPlan& plan) {
  model::Json json = {{"point", plan.point.value}, {"method", ports::to_string(plan.method)}, {"why", plan.why}};
  if (plan.bytes) json["bytes"] = plan.bytes->value;
  if (plan.duration) json["duration_s"] = plan.duration->count();
  if (plan.bytes) json["rate"] = plan.rate;
  return json;
}

}  // namespace umbra::cmd
