// SPDX-License-Identifier: Apache-2.0
// retire: the old primary becomes a hibernated definition: off, disks kept, never started with its host; where it is
// started all the same, its old epoch gives it away. Undefining first drops libvirt's knowledge of the checkpoints,
// whose bitmaps mean nothing from now on.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "ports/delta.hpp"
#include "switchover/halves.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"disks", paths_json(walk.facts().frozen)}};
}

/// The retired definition: the walk's tag, and the frozen files as its disks.
bool is_retired(const Walk& walk, const std::optional<model::Domain>& domain) {
  if (!domain || domain->state != model::DomainState::off || domain->tag != hibernated_tag(walk)) return false;
  return std::all_of(domain->disks.begin(), domain->disks.end(), [&](const model::Disk& disk) {
    const auto frozen = walk.facts().frozen.find(disk.name);
    return frozen != walk.facts().frozen.end() && frozen->second == disk.path;
  });
}

/// A migration carries the bitmaps of the source's checkpoints along. They mean nothing to the new shadow, and would be
/// written for ever. One that stays does no harm.
void delete_carried_bitmaps(Walk& walk) {
  try {
    for (const model::CheckpointName& name : walk.source().checkpoints(walk.row().vm)) {
      if (ports::point_of(name)) walk.target().delete_checkpoint(walk.row().vm, name);
    }
  } catch (const base::Error& e) {
    base::log(base::Level::warning,
              fmt::format("bitmaps of {} stay on {}: {}", walk.row().vm.get(), walk.row().to.get(), e.what()));
  }
}

/// Each host knows something of the migration: the target how long the guest stood, the source the rest. Asked before
/// the source's definition is replaced, with which libvirt forgets it. A figure that is not to be had is left out.
Json measured(Walk& walk) {
  const auto figures_of = [&](ports::Hypervisor& host) {
    try {
      return host.last_move(walk.row().vm);
    } catch (const base::Error&) {
      return ports::MoveFigures{};
    }
  };
  const ports::MoveFigures there = figures_of(walk.target());
  const ports::MoveFigures here = figures_of(walk.source());
  Json json = Json::object();
  const auto blackout = there.blackout_ms ? there.blackout_ms : here.blackout_ms;
  if (blackout) json["blackout_ms"] = *blackout;
  if (here.total_ms) json["brownout_ms"] = std::max(0.0, *here.total_ms - here.blackout_ms.value_or(0));
  if (here.sent) json["moved_bytes"] = here.sent->value;
  return json;
}

bool happened(Walk& walk) {
  return is_retired(walk, walk.source().find(walk.row().vm));
}

Json act(Walk& walk) {
  const ports::Walk& row = walk.row();
  ports::Hypervisor& source = walk.source();
  end_old_half(walk);
  if (walk.facts().autostart) walk.target().set_autostart(row.vm, true);
  const auto old = source.find(row.vm);
  const Json figures = measured(walk);
  if (is_retired(walk, old)) return figures;
  if (old && old->state != model::DomainState::off) {
    throw base::Error(
        base::Kind::refused,
        fmt::format("{} is {} on {} although it moved to {}", row.vm.get(), to_string(old->state), row.from.get(),
                    row.to.get()),
        fmt::format("stop it there yourself, then: umbra switchover --recover {}", base::shell_word(row.vm)));
  }
  const auto moved = walk.target().find(row.vm);
  if (!moved) {
    throw base::Error(
        base::Kind::refused, fmt::format("{} is no longer defined on {}", row.vm.get(), row.to.get()),
        fmt::format("define it there again, then: umbra switchover --recover {}", base::shell_word(row.vm)));
  }
  delete_carried_bitmaps(walk);
  source.undefine(row.vm);
  source.define_shadow(*moved, {walk.facts().frozen, walk.request().from.networks, hibernated_tag(walk)});
  return figures;
}

}  // namespace

Step retire() {
  return {"retire", intend, act, happened, {}};
}

}  // namespace umbra::switchover::steps
