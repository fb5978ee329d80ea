// SPDX-License-Identifier: Apache-2.0
#include "predict/stillness.hpp"

#include "predict/outcome.hpp"

namespace umbra::predict {

double stays_above(const View& view) {
  constexpr std::size_t least = 2;
  constexpr std::size_t most = 1000;  // readings looked at; more would change the third decimal
  const Past& past = view.past;
  const std::size_t newest = past.size() - 1;
  const double now = past.value(newest);
  if (now < view.crossings.threshold()) return 0;
  std::size_t unmoved = 0;
  while (unmoved < newest && unmoved < most && past.value(newest - unmoved - 1) == now) ++unmoved;
  if (unmoved < least || !(step_at(past, newest) <= view.crossings.window_s())) return 0;
  const auto k = static_cast<double>(unmoved);
  return (k + 1) / (k + 2);
}

}  // namespace umbra::predict
