// SPDX-License-Identifier: Apache-2.0
#include "model/activity.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"
#include "model/record.hpp"

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

std::optional<GuestActivity> parse_activity(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object())
    throw base::Error(base::Kind::corrupt, "the activity that was recorded with the point is no JSON");
  return activity_from(json);
}

}  // namespace umbra::model
