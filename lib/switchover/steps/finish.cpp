// SPDX-License-Identifier: Apache-2.0
// finish: what the frozen layers hold beyond the shadow's newest point becomes its next point, while the guest runs on.
// The far end reads back every layer that it has not read since it was written: with those read before, whole disks.
#include <fmt/core.h>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "replicate/finish.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"parent", walk.facts().parent.value}};
}

Json act(Walk& walk) {
  const Ports& ports = walk.ports();
  const ports::Walk& row = walk.row();
  replicate::FinishRequest request;
  request.vm = row.vm;
  request.primary = row.from;
  request.shadow_host = row.to;
  request.shadow = walk.request().shadow;
  request.own = walk.request().shadow;  // a VM's shadow has one name on every host
  request.taken_at = walk.facts().taken_at;
  request.parent = walk.facts().parent;
  request.bandwidth = walk.request().policy.bandwidth;
  const auto domain = walk.source().find(row.vm);
  if (!domain)
    throw base::Error(base::Kind::not_found, fmt::format("{} vanished from {}", row.vm.get(), row.from.get()),
                      fmt::format("umbra status {}", base::shell_word(row.vm)));
  request.checkpoints = ports::usable_checkpoints(walk.source(), *domain);
  for (model::Disk disk : domain->disks) {
    const auto frozen = walk.facts().frozen.find(disk.name);
    if (frozen == walk.facts().frozen.end()) {
      throw base::Error(base::Kind::refused,
                        fmt::format("disk {} was attached to {} while it was frozen", disk.name.get(), row.vm.get()),
                        "detach it, or " + ports::make_anew(row.vm));
    }
    disk.path = frozen->second;
    disk.chain.clear();  // asked for below the frozen file
    request.frozen.push_back(disk);
  }
  const ports::Context context{ports.hypervisors, ports.transport, ports.clock, ports.cancel};
  model::Replica replica = replicate::finish(context, request).replica;
  replica.quiesced = walk.facts().quiesced;
  // The point stays also where the walk is taken back.
  if (auto shadow = ports.registry.find(row.vm); shadow && shadow->id == walk.request().shadow) {
    shadow->replica = replica;
    ports.registry.put(*shadow);
  }
  return {{"point", replica.point.value},
          {"root", replica.root.to_string()},
          {"sent_bytes", replica.sent.value},
          {"method", replica.method},
          {"why", replica.why}};
}

/// Whether the far end holds a point taken at the freeze's instant.
bool happened(Walk& walk) {
  const auto points = far_end(walk)->points(walk.request().shadow);
  return !points.empty() && points.back().number > walk.facts().parent &&
         points.back().taken_at == walk.facts().taken_at && points.back().sound();
}

/// A committed point stays: it is true data, or, where it was read back as something else, is read again by whoever
/// would build on it. An unfinished one is removed by the next sender and never seen before.
void undo(Walk&) {}

}  // namespace

Step finish() {
  return {"finish", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
