// SPDX-License-Identifier: Apache-2.0
// activate: the shadow becomes the VM: its definition stands on the top layer, with the newest epoch, and is resumed
// from the point's memory, or else started. Run again, it looks first: a guest that is up with this walk's epoch is
// left alone, one that may have run goes on from its disks.
#include <fmt/core.h>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "switchover/fencing.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

using base::Error;
using base::Kind;

model::PointInfo point_of(Walk& walk, ports::PointStore& store) {
  for (const model::PointInfo& point : store.points(walk.request().shadow)) {
    if (point.number == walk.facts().parent) return point;
  }
  throw Error(Kind::corrupt, fmt::format("point {} of {} is gone from {}", walk.facts().parent.value,
                                         walk.row().vm.get(), walk.row().to.get()));
}

std::optional<model::Domain> stand_in(Walk& walk) {
  return walk.target().find(walk.row().vm);
}

bool is_active(const Walk& walk, const std::optional<model::Domain>& domain) {
  return domain && domain->state != model::DomainState::off && domain->tag.epoch == walk.row().epoch;
}

/// The definition that starts over the top layer, as the VM's primary. It names no peer: it has no shadow any more, and
/// the lost host's silence is no reason not to start it.
DiskPaths define(Walk& walk, ports::PointStore& store) {
  const auto domain = stand_in(walk);
  if (!domain)
    throw Error(Kind::not_found, fmt::format("{} is no longer defined on {}", walk.row().vm.get(), walk.row().to.get()),
                fmt::format("define it there again, off, then: umbra switchover --recover {}",
                            base::shell_word(walk.row().vm)));
  DiskPaths top = store.raise_top(walk.request().shadow, walk.facts().parent, walk.facts().purpose);
  walk.target().define_shadow(*domain, {top, {}, {model::Role::primary, {}, walk.row().epoch}});
  return top;
}

/// The lost host may be back since it was fenced, and somebody may have started the VM there. One that is still silent
/// was fenced by an earlier run: what it does now nobody knows, so it is fenced again. To be asked once the definition
/// bears the new epoch: from then on the old host's hook refuses.
void require_source_is_dead(Walk& walk) {
  const ports::Walk& row = walk.row();
  std::optional<model::Domain> there;
  try {
    there = walk.source().find(row.vm);
  } catch (const Error& e) {
    if (e.kind() != Kind::unreachable) throw;
    if (walk.is_dead(row.from) || walk.ports().fence == nullptr) return;
    fenced(walk.ports(), row.from, "umbra switchover " + base::shell_word(row.vm) + " --from-point");
    return walk.note_dead(row.from);
  }
  if (!there || there->state == model::DomainState::off) return;
  throw Error(
      Kind::interrupted,
      fmt::format("{} is {} on {}, which answers again: it is not started on {} beside it", row.vm.get(),
                  to_string(there->state), row.from.get(), row.to.get()),
      fmt::format("what it wrote since the point goes with it; stop it: {}, then: umbra switchover --recover {}",
                  walk.source().by_hand("destroy", row.vm), base::shell_word(row.vm)));
}

/// True where the guest goes on from the point's memory; else why it can't.
bool resumed(Walk& walk, ports::PointStore& store, const std::string& memory, DiskPaths top, std::string& why_not) {
  try {
    walk.target().restore(walk.row().vm, {memory, std::move(top), false});
    return true;
  } catch (const Error& e) {
    if (e.kind() == Kind::cancelled || e.kind() == Kind::unreachable) throw;
    why_not = fmt::format("the memory of point {} could not be resumed, it was started from its disks: {}",
                          walk.facts().parent.value, e.what());
  }
  walk.target().destroy(walk.row().vm);
  define(walk, store);
  return false;
}

/// A definition that bears the epoch may have run, though nobody noted it: its disks are newer than the point's memory,
/// and what is written on the top layer was told to be safe. It starts from its disks as they are.
bool may_have_run(const Walk& walk, const std::optional<model::Domain>& domain) {
  return domain && domain->tag.epoch == walk.row().epoch;
}

/// How the guest came up, as far as it is not just from its disks.
Json bring_up(Walk& walk, ports::PointStore& store, const std::optional<std::string>& memory) {
  const bool again = may_have_run(walk, stand_in(walk));
  const DiskPaths top = again ? DiskPaths{} : define(walk, store);
  require_source_is_dead(walk);
  std::string note = again ? "it was started before, and again now, from its disks with all that it wrote" : "";
  const bool from_memory = !again && memory && resumed(walk, store, *memory, top, note);
  if (!from_memory) walk.target().start(walk.row().vm);
  Json result{{"from_memory", from_memory}};
  if (!note.empty()) result["notes"] = Json::array({note});
  return result;
}

Json act(Walk& walk) {
  const auto store = far_end(walk);
  const model::PointInfo point = point_of(walk, *store);
  const double lost_s = base::Seconds(walk.row().started - point.taken_at).count();
  Json result{{"lost_s", std::max(0.0, lost_s)}};
  if (!is_active(walk, stand_in(walk))) result.update(bring_up(walk, *store, point.memory_file()));
  return result;
}

bool happened(Walk& walk) {
  return is_active(walk, stand_in(walk));
}

}  // namespace

Step activate() {
  return {"activate", intend_nothing, act, happened, {}};
}

}  // namespace umbra::switchover::steps
