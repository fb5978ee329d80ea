// SPDX-License-Identifier: Apache-2.0
#pragma once
// What `replicate --dry-run` says.

#include <string>

#include "model/record.hpp"
#include "replicate/replicate.hpp"

namespace umbra::cmd {

/// ", in about 3s (100 MiB/s, as its last pass went)", or why that is not known.
std::string told_time(const replicate::PassPlan& plan);
model::Json plan_json(const replicate::PassPlan& plan);

}  // namespace umbra::cmd
