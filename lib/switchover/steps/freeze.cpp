// SPDX-License-Identifier: Apache-2.0
// freeze: an atomic disk-only snapshot puts an overlay above each disk, guest file systems frozen for that instant
// where an agent answers. From here the old layers cannot change.
#include <fmt/core.h>

#include <algorithm>

#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

#include "base/text.hpp"

namespace umbra::switchover::steps {
namespace {

/// `<path without .qcow2>.umbra-e<epoch>.qcow2`; the epoch is never proposed twice, so the file can't exist yet.
std::string overlay_of(std::string path, model::Epoch epoch) {
  constexpr std::string_view extension = ".qcow2";
  if (path.ends_with(extension)) path.resize(path.size() - extension.size());
  return fmt::format("{}.umbra-e{}{}", path, epoch.value, extension);
}

Json intend(Walk& walk) {
  DiskPaths overlays;
  for (const auto& [disk, path] : walk.facts().frozen) overlays[disk] = overlay_of(path, walk.row().epoch);
  return {{"overlays", paths_json(overlays)}};
}

Json act(Walk& walk) {
  const ports::FreezeResult result = walk.source().freeze(walk.row().vm, {walk.facts().overlays, std::nullopt, walk.request().policy.quiesce});
  return {
      {"taken_at", base::to_rfc3339(result.taken_at)}, {"quiesced", result.quiesced}, {"paused_ms", result.paused_ms}};
}

bool names(const model::Disk& disk, const std::string& path) {
  return disk.path == path || std::find(disk.chain.begin(), disk.chain.end(), path) != disk.chain.end();
}

/// The disks of `domain` that stand on their overlay, with the frozen file to fold each down to.
DiskPaths standing_on_overlay(const Walk& walk, const model::Domain& domain) {
  DiskPaths down_to;
  for (const model::Disk& disk : domain.disks) {
    const auto overlay = walk.facts().overlays.find(disk.name);
    if (overlay != walk.facts().overlays.end() && names(disk, overlay->second)) {
      down_to[disk.name] = walk.facts().frozen.at(disk.name);
    }
  }
  return down_to;
}

bool happened(Walk& walk) {
  const auto domain = walk.source().find(walk.row().vm);
  return domain && !walk.facts().overlays.empty() &&
         standing_on_overlay(walk, *domain).size() == walk.facts().overlays.size();
}

/// Kind::interrupted where the guest is up on the target, as after a start by hand: it must not run twice. A target
/// that gives no answer is no "no".
void require_down_on_target(Walk& walk) {
  const auto there = walk.target().find(walk.row().vm);
  if (!there || there->state == model::DomainState::off) return;
  const std::string vm = walk.row().vm.get();
  const std::string from = walk.row().from.get();
  const std::string to = walk.row().to.get();
  throw base::Error(base::Kind::interrupted,
                    fmt::format("{} is off on {}, where the walk began, and {} on {}, though the walk did not move it: "
                                "it is not started on {}",
                                vm, from, model::to_string(there->state), to, from),
                    fmt::format("shut it down on {}, then: umbra switchover --recover {}", to, base::shell_word(vm)));
}

void undo(Walk& walk) {
  ports::Hypervisor& source = walk.source();
  const model::VmName& vm = walk.row().vm;
  auto domain = source.find(vm);
  if (!domain) {
    throw base::Error(base::Kind::refused,
                      fmt::format("{} is no longer defined on {}", vm.get(), walk.row().from.get()),
                      "define it again there, its disks as the journal's overlays name them");
  }
  if (const DiskPaths down_to = standing_on_overlay(walk, *domain); !down_to.empty()) {
    // Where the guest ended in the middle of the walk, its disk is the overlay and what lies below: folded live alone.
    if (domain->state == model::DomainState::off) {
      require_down_on_target(walk);
      source.start(vm);
      walk.note_started_anew();
    }
    source.fold(vm, down_to);
  }

  domain = source.find(vm);
  if (!domain || !standing_on_overlay(walk, *domain).empty()) {
    throw base::Error(base::Kind::internal, fmt::format("{} still stands on its overlay after folding", vm.get()));
  }
  const auto store = walk.ports().transport.connect(walk.row().from);
  for (const auto& [disk, overlay] : walk.facts().overlays) store->remove_made(overlay);
}

}  // namespace

Step freeze() {
  return {"freeze", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
