// SPDX-License-Identifier: Apache-2.0
#include "ports/switching.hpp"

#include <algorithm>

namespace umbra::ports {

HookResult until_ok(base::Clock& clock, base::Millis deadline, const std::function<HookResult(base::Millis)>& attempt) {
  constexpr base::Millis between{200};
  constexpr base::Millis least{200};  // less would tell nothing, and the last look is the one that is told
  HookResult last;
  const base::Millis end = clock.steady() + deadline;
  base::wait_until(clock, deadline, between, [&] {
    last = attempt(std::max(end - clock.steady(), least));
    return last.ok;
  });
  return last;
}

}  // namespace umbra::ports
