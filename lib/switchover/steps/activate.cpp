// SPDX-License-Identifier: Apache-2.0
// activate: the shadow becomes the VM: its definition stands on the top layer, with the newest epoch, and is resumed
// from the point's memory, or else started. Run again, it looks first: a guest that is up with this walk's epoch is
// left alone.
#include <fmt/core.h>

#include "base/text.hpp"
#include "ports/delta.hpp"
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

/// True where the guest goes on from the point's memory; else why it can't, with the layer as fresh as before.
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
  store.drop_top(walk.request().shadow, walk.facts().purpose);
  define(walk, store);
  return false;
}

Json act(Walk& walk) {
  const auto store = walk.ports().transport.connect(walk.row().to);
  const model::PointInfo point = point_of(walk, *store);
  const double lost_s = base::Seconds(walk.row().started - point.taken_at).count();
  Json result{{"lost_s", std::max(0.0, lost_s)}};
  std::string note;
  if (is_active(walk, stand_in(walk))) return result;
  const DiskPaths top = define(walk, *store);
  const auto memory = point.memory_file();
  result["from_memory"] = memory && resumed(walk, *store, *memory, top, note);
  if (!result["from_memory"].get<bool>()) walk.target().start(walk.row().vm);
  if (!note.empty()) result["notes"] = Json::array({note});
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
