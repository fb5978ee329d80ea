// SPDX-License-Identifier: Apache-2.0
// prepare: an empty top layer over the final point: the guest will write there and never into a point. And the old
// home no longer starts the VM with the host: after the move it would be a second one.
#include <fmt/core.h>

#include "base/text.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

/// Libvirt replaces it as the migration ends, before it starts the guest's CPUs, and leaves it so where that fails.
Json stand_in_json(Walk& walk) {
  const auto there = walk.target().find(walk.row().vm);
  if (!there) return nullptr;
  DiskPaths disks;
  for (const model::Disk& disk : there->disks) disks[disk.name] = disk.path;
  return {{"tag", tag_json(there->tag)}, {"disks", paths_json(disks)}};
}

/// The definition that the migration left there, off, is the stand-in again; so is one that somebody has removed since.
void restore_stand_in(Walk& walk) {
  const auto& before = walk.facts().stand_in;
  const auto there = walk.target().glance(walk.row().vm);
  if (!there && before && before->is_defined) {
    if (const auto here = walk.source().glance(walk.row().vm))
      walk.target().define_shadow(*here, {before->disks, walk.request().to.networks, before->tag});
    return;
  }
  if (!before || !there || there->state != model::DomainState::off || there->tag.epoch != walk.row().epoch) return;
  if (before->is_defined)
    walk.target().define_shadow(*there, {before->disks, {}, before->tag});
  else
    walk.target().undefine(walk.row().vm);
}

Json intend(Walk& walk) {
  const auto domain = walk.source().find(walk.row().vm);
  if (!domain)
    throw base::Error(base::Kind::not_found,
                      fmt::format("{} vanished from {}", walk.row().vm.get(), walk.row().from.get()),
                      fmt::format("umbra status {}", base::shell_word(walk.row().vm)));
  return {{"purpose", fmt::format("epoch-{}", walk.row().epoch.value)},
          {"autostart", domain->autostart},
          {"stand_in", stand_in_json(walk)}};
}

Json act(Walk& walk) {
  const Facts& facts = walk.facts();
  const auto top = far_end(walk)->raise_top(walk.request().shadow, facts.point, facts.purpose);
  if (facts.autostart) walk.source().set_autostart(walk.row().vm, false);
  return {{"top", paths_json(top)}};
}

/// Where the result was not written the answer is no: the layer may be there all the same, empty, and undo() drops it.
bool happened(Walk& walk) {
  if (walk.facts().top.empty()) return false;
  const auto store = far_end(walk);
  for (const auto& [disk, path] : walk.facts().top) {
    if (store->chain(path).size() < 2) return false;
  }
  return true;
}

void undo(Walk& walk) {
  if (walk.facts().autostart) walk.source().set_autostart(walk.row().vm, true);
  restore_stand_in(walk);
  far_end(walk)->drop_top(walk.request().shadow, walk.facts().purpose);
}

}  // namespace

Step prepare() {
  return {"prepare", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
