// SPDX-License-Identifier: Apache-2.0
// raise: the newest point is read back once more, which takes as long as its layers are large, and gets a writable
// layer on top. Points never change.
#include <fmt/core.h>

#include "ports/delta.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"purpose", fmt::format("epoch-{}", walk.row().epoch.value)}, {"point", walk.facts().parent.value}};
}

Json act(Walk& walk) {
  const auto store = far_end(walk);
  const model::ShadowId& shadow = walk.request().shadow;
  const model::PointNumber point = walk.facts().parent;
  ports::require_equal(*store, shadow, walk.row().vm, point);
  return {{"top", paths_json(store->raise_top(shadow, point, walk.facts().purpose))}};
}

/// Where the result was not written the answer is no: undo() drops what is there, on which nothing has run.
bool happened(Walk& walk) {
  return walk.phase_of("raise") == ports::StepPhase::done;
}

void undo(Walk& walk) {
  far_end(walk)->drop_top(walk.request().shadow, walk.facts().purpose);
}

}  // namespace

Step raise() {
  return {"raise", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
