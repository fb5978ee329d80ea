// SPDX-License-Identifier: Apache-2.0
#include "predict/estimate.hpp"

#include <cmath>

namespace umbra::predict {

double six_decimals(double x) {
  return std::round(x * 1e6) / 1e6;
}

}  // namespace umbra::predict
