// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/number.hpp"

#include <charconv>
#include <cmath>

namespace umbra::metrics {

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

}  // namespace umbra::metrics
