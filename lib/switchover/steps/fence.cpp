// SPDX-License-Identifier: Apache-2.0
// fence: the lost host is made sure to run nothing any more, before anything is started in its place. What an earlier
// walk of the VM had begun is void from then on: the guest that it moved is gone.
#include <fmt/core.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"host", walk.row().from.get()}, {"fence", walk.ports().fence != nullptr}};
}

/// The fence's own words. Where there is none, the operator took the risk upon himself: that was checked before.
std::string proof(Walk& walk) {
  const model::HostName& host = walk.row().from;
  if (walk.ports().fence == nullptr) return "no fence; the risk of two was accepted";
  const ports::HookResult result = walk.ports().fence->fence(host);
  if (result.ok) return result.message;
  throw base::Error(
      base::Kind::refused, fmt::format("{} was not fenced: {}", host.get(), result.message),
      fmt::format(
          "cut its power yourself; once you are sure: umbra switchover {} --from-point --accept-split-brain-risk",
          base::shell_word(walk.row().vm)));
}

void close_superseded(Walk& walk) {
  for (const ports::Walk& other : walk.ports().journal.open_walks()) {
    if (other.vm != walk.row().vm || other.id == walk.row().id) continue;
    if (other.to == walk.row().to)
      walk.ports().transport.connect(other.to)->drop_top(walk.request().shadow,
                                                         fmt::format("epoch-{}", other.epoch.value));
    walk.ports().journal.close_walk(other.id, "undone");
  }
}

Json act(Walk& walk) {
  const std::string words = proof(walk);
  close_superseded(walk);
  return {{"proof", words}};
}

/// A host can't be asked whether it is off: it is fenced again.
bool happened(Walk& walk) {
  return walk.phase_of("fence") == ports::StepPhase::done;
}

/// A host that was fenced stays so until its operator brings it back.
void undo(Walk&) {}

}  // namespace

Step fence() {
  return {"fence", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
