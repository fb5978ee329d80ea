// SPDX-License-Identifier: Apache-2.0
// prepare: an empty top layer over the final point: the guest will write there and never into a point. And the old
// home no longer starts the VM with the host: after the move it would be a second one.
#include <fmt/core.h>

#include "base/text.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

std::unique_ptr<ports::PointStore> far_end(Walk& walk) {
  return walk.ports().transport.connect(walk.row().to);
}

Json intend(Walk& walk) {
  const auto domain = walk.source().find(walk.row().vm);
  if (!domain)
    throw base::Error(base::Kind::not_found,
                      fmt::format("{} vanished from {}", walk.row().vm.get(), walk.row().from.get()),
                      fmt::format("umbra status {}", base::shell_word(walk.row().vm)));
  return {{"purpose", fmt::format("epoch-{}", walk.row().epoch.value)}, {"autostart", domain->autostart}};
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
  far_end(walk)->drop_top(walk.request().shadow, walk.facts().purpose);
}

}  // namespace

Step prepare() {
  return {"prepare", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
