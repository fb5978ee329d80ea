// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a guest was doing before and after it was resumed elsewhere: the same processes, or which are gone and new.

#include <optional>
#include <string>
#include <vector>

#include "model/sections.hpp"

namespace umbra::model {

struct ActivityDiff {
  std::size_t kept = 0;               ///< the same process: pid, name and start
  std::vector<GuestProcess> gone;     ///< of before, rising by pid
  std::vector<GuestProcess> started;  ///< of after, rising by pid
  bool same() const { return gone.empty() && started.empty(); }
};

/// A process is the same where pid, name and start agree: a pid that was used again is another process.
ActivityDiff compare_activity(const GuestActivity& before, const GuestActivity& after);

/// What a point keeps of its guest; nothing where it keeps none. Kind::corrupt where the text is no activity.
std::optional<GuestActivity> parse_activity(const std::string& text);

}  // namespace umbra::model
