// SPDX-License-Identifier: Apache-2.0
#pragma once
// The answer of Prometheus to an instant query (its HTTP API, /api/v1/query). Pure.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace umbra::metrics {

/// One element of an instant vector.
struct InstantValue {
  std::map<std::string, std::string> labels;
  double value = 0;
  double evaluated_at = 0;  ///< Unix seconds
};

/// "NaN" and the infinities are left out. Kind::io with the reason that the server gives; Kind::invalid where `body` is
/// no answer of Prometheus, or no vector.
std::vector<InstantValue> vector_of(std::string_view body);

}  // namespace umbra::metrics
