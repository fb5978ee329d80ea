// SPDX-License-Identifier: Apache-2.0
#pragma once
// The answers of Prometheus to a query at an instant or over a range (its HTTP API, /api/v1/query and query_range).
// Pure.

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

struct RangePoint {
  double at = 0;  ///< Unix seconds
  double value = 0;
};

/// One element of a range vector.
struct RangeValues {
  std::map<std::string, std::string> labels;
  std::vector<RangePoint> points;  ///< as the server gives them: by time
};

/// The same of a range query: "NaN" (a stale marker is one) and the infinities are left out.
std::vector<RangeValues> matrix_of(std::string_view body);

/// The answer to the query "time()", in Unix seconds.
double time_in(std::string_view body);

}  // namespace umbra::metrics
