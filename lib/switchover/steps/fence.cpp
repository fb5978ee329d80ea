// SPDX-License-Identifier: Apache-2.0
// fence: the lost host is made sure to run nothing any more, right before the VM is started in its place: a host that
// was merely reset may boot within a minute. What an earlier walk of the VM had begun is void from then on: the guest
// that it moved is gone.
#include <fmt/core.h>

#include "base/text.hpp"
#include "switchover/fencing.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"host", walk.row().from.get()}, {"fence", walk.ports().fence != nullptr}};
}

/// The guest of an interrupted walk may have arrived after it was looked for: then that walk is the one to finish.
void require_not_arrived(Walk& walk, const ports::Walk& other) {
  const auto there = walk.target().find(other.vm);
  if (!there || (there->state == model::DomainState::off && there->tag.epoch != other.epoch)) return;
  throw base::Error(base::Kind::interrupted,
                    fmt::format("a {} of {} to {} was interrupted, and the guest arrived there", other.kind,
                                other.vm.get(), other.to.get()),
                    "umbra switchover --recover " + base::shell_word(other.vm));
}

void close_superseded(Walk& walk) {
  for (const ports::Walk& other : walk.ports().journal.open_walks()) {
    if (other.vm != walk.row().vm || other.id == walk.row().id) continue;
    require_not_arrived(walk, other);
    if (other.to == walk.row().to)
      walk.ports().transport.connect(other.to)->drop_top(walk.request().shadow,
                                                         fmt::format("epoch-{}", other.epoch.value));
    walk.ports().journal.close_walk(other.id, "undone");
  }
}

Json act(Walk& walk) {
  const model::HostName& host = walk.row().from;
  check_source_is_lost(walk.ports(), walk.request());  // reading the point back took its time
  const std::string words =
      fenced(walk.ports(), host, fmt::format("umbra switchover {} --from-point", base::shell_word(walk.row().vm)));
  walk.note_dead(host);
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
