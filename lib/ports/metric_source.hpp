// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where samples of use come from.

#include <vector>

#include "model/metrics.hpp"

namespace umbra::ports {

class MetricSource {
 public:
  virtual ~MetricSource() = default;
  /// The counters of every running domain and of the host itself (empty uuid), at one instant.
  virtual std::vector<model::Counters> counters() = 0;
};

}  // namespace umbra::ports
