// SPDX-License-Identifier: Apache-2.0
#pragma once
// From which use on a VM is in trouble: configured, else learned from what it does without harm, else the resource's
// default. Says which, and why.

#include <optional>
#include <string>

#include "model/metrics.hpp"
#include "model/sections.hpp"
#include "model/units.hpp"
#include "predict/past.hpp"

namespace umbra::predict {

struct Threshold {
  model::Fraction value;
  std::string source;  ///< "configured", "learned", "default"
  std::string reason;  ///< with the numbers
};

/// cpu 0.90, memory 0.92, gpu 0.90, gpu_memory 0.92, net 0.85, disk 0.90.
double default_threshold(model::Resource resource);

/// Depends on `past`, which ends at the origin, alone.
///
/// A configured value stands. A VM whose ordinary level is the default or above gets a threshold between that level and
/// full, a quarter of the way up where it is critical, 3/8 high, half normal, 3/4 low, and 0.98 at the most; a level of
/// 0.98 teaches nothing, since what a full VM lacks cannot be seen. Memory that runs out ends a guest, where CPU only
/// slows it: its level must be held within 0.02 and rise by no more than 0.005 from one half of the past to the other.
/// Else the default, 0.02 lower for a critical VM, 0.01 lower for a high one, and 0.02 higher for a low one; less low
/// or not at all where that would lie within what the VM ordinarily does.
Threshold threshold_of(model::Resource resource, std::optional<model::Fraction> configured, model::Priority priority,
                       const Past& past);

}  // namespace umbra::predict
