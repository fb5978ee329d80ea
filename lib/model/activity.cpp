// SPDX-License-Identifier: Apache-2.0
#include "model/activity.hpp"

#include <algorithm>
#include <iterator>

namespace umbra::model {

ActivityDiff compare_activity(const GuestActivity& before, const GuestActivity& after) {
  std::vector<GuestProcess> old_ones = before.processes;
  std::vector<GuestProcess> new_ones = after.processes;
  std::ranges::sort(old_ones);
  std::ranges::sort(new_ones);
  ActivityDiff diff;
  std::ranges::set_difference(old_ones, new_ones, std::back_inserter(diff.gone));
  std::ranges::set_difference(new_ones, old_ones, std::back_inserter(diff.started));
  diff.kept = old_ones.size() - diff.gone.size();
  return diff;
}

}  // namespace umbra::model
