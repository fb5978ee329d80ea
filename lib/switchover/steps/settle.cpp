// SPDX-License-Identifier: Apache-2.0
// settle: the VM has no shadow any more until one is made. Where the lost host answers already, its copy loses the
// right to be started. Its disks stay as they are: they hold what was written after the point.
#include <fmt/core.h>

#include "base/text.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

/// Nothing where the old copy is marked, or is no more.
std::optional<std::string> old_copy_left(Walk& walk) {
  const ports::Walk& row = walk.row();
  try {
    const auto old = walk.source().find(row.vm);
    if (!old) return std::nullopt;
    if (old->state != model::DomainState::off)
      return fmt::format("{} is {} on {}, which answers again: stop it there at once: {}", row.vm.get(),
                         to_string(old->state), row.from.get(), walk.source().by_hand("destroy", row.vm));
    const model::RoleTag tag{model::Role::shadow, row.to, row.epoch};
    if (old->tag != tag) walk.source().set_tag(row.vm, tag);
    return std::nullopt;
  } catch (const base::Error&) {
    return fmt::format(
        "{0} gives no answer: its copy of {1} is not marked as old there; once it is back: umbra shadow {2} "
        "--on {0}",
        row.from.get(), row.vm.get(), base::shell_word(row.vm));
  }
}

Json act(Walk& walk) {
  walk.ports().registry.remove(walk.row().uuid);
  Json result = Json::object();
  if (const auto note = old_copy_left(walk)) result["notes"] = Json::array({*note});
  return result;
}

bool happened(Walk& walk) {
  return !walk.ports().registry.find(walk.row().vm);
}

}  // namespace

Step settle() {
  return {"settle", intend_nothing, act, happened, {}};
}

}  // namespace umbra::switchover::steps
