// SPDX-License-Identifier: Apache-2.0
// freeze: the VM is claimed for this walk, so that no other begins one, nor anybody starts it anew; then an atomic
// disk-only snapshot puts an overlay above each disk, guest file systems frozen for that instant where an agent
// answers. From here the old layers cannot change.
#include <fmt/core.h>

#include <random>

#include "base/log.hpp"
#include "base/text.hpp"
#include "switchover/request_json.hpp"
#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

/// `<path without .qcow2>.umbra-e<epoch>-<unique>.qcow2`. One state proposes an epoch once, but another control host
/// that knows nothing of it may name the same.
std::string overlay_of(std::string path, model::Epoch epoch, unsigned unique) {
  constexpr std::string_view extension = ".qcow2";
  if (path.ends_with(extension)) path.resize(path.size() - extension.size());
  return fmt::format("{}.umbra-e{}-{:08x}{}", path, epoch.value, unique, extension);
}

model::Domain running_here(Walk& walk) {
  auto domain = walk.source().find(walk.row().vm);
  if (domain) return std::move(*domain);
  throw base::Error(base::Kind::not_found,
                    fmt::format("{} vanished from {}", walk.row().vm.get(), walk.row().from.get()),
                    fmt::format("umbra status {}", base::shell_word(walk.row().vm)));
}

Json intend(Walk& walk) {
  const unsigned unique = std::random_device{}();
  DiskPaths overlays;
  for (const auto& [disk, path] : walk.facts().frozen) overlays[disk] = overlay_of(path, walk.row().epoch, unique);
  return {{"overlays", paths_json(overlays)}, {"tag", tag_json(running_here(walk).tag)}};
}

model::RoleTag claimed(const Walk& walk) {
  return {model::Role::leaving, walk.row().to, walk.facts().tag.value_or(model::RoleTag{}).epoch};
}

/// Whoever surveys the VM from now on, with whatever state, finds it leaving. Another walk of another state may have
/// surveyed it before and claim it now: the move looks again what the guest stands on.
void claim(Walk& walk) {
  const model::RoleTag tag = running_here(walk).tag;
  if (tag.role == model::Role::leaving || tag != walk.facts().tag)
    throw base::Error(
        base::Kind::refused,
        fmt::format("{} on {} was claimed by another walk: its role is {}, of epoch {}", walk.row().vm.get(),
                    walk.row().from.get(), model::to_string(tag.role), tag.epoch.value),
        "let that one end, on the control host where it was begun");
  walk.source().set_tag(walk.row().vm, claimed(walk));
}

/// What another walk has written there since stays; so does the claim where another walk has taken the guest away.
void give_back(Walk& walk) {
  const auto domain = walk.source().find(walk.row().vm);
  if (!domain || !walk.facts().tag || domain->tag != claimed(walk)) return;
  if (domain->state == model::DomainState::off) {
    const auto there = walk.target().glance(walk.row().vm);
    if (there && there->state != model::DomainState::off) return;
  }
  walk.source().set_tag(walk.row().vm, *walk.facts().tag);
}

Json act(Walk& walk) {
  claim(walk);
  const ports::FreezeResult result =
      walk.source().freeze(walk.row().vm, {walk.facts().overlays, std::nullopt, walk.request().policy.quiesce});
  return {
      {"taken_at", base::to_rfc3339(result.taken_at)}, {"quiesced", result.quiesced}, {"paused_ms", result.paused_ms}};
}

/// The disks of `domain` that stand on their overlay, or on what somebody has put over it, with the frozen file to fold
/// each down to.
DiskPaths standing_on_overlay(const Walk& walk, const model::Domain& domain) {
  DiskPaths down_to;
  for (model::Disk disk : domain.disks) {
    const auto overlay = walk.facts().overlays.find(disk.name);
    if (overlay == walk.facts().overlays.end()) continue;
    // Libvirt tells the files below of a running domain alone.
    if (domain.state == model::DomainState::off && disk.path != overlay->second && !disk.path.empty())
      disk.chain = walk.ports().transport.connect(walk.row().from)->chain(disk.path);
    if (model::stands_on(disk, overlay->second)) down_to[disk.name] = walk.facts().frozen.at(disk.name);
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
  if (walk.is_dead(walk.row().to)) return;
  const auto there = walk.target().glance(walk.row().vm);
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

/// "vda: /images/…, vdb: …"
std::string paths_text(const DiskPaths& paths) {
  std::string text;
  for (const auto& [disk, path] : paths) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", disk.get(), path);
  return text;
}

void give_back_now_or_later(Walk& walk) {
  try {
    give_back(walk);
  } catch (const base::Error& e) {
    base::log(base::Level::info, e.what());
  }
}

/// Where that fails, the guest stands on its overlay until it is tried again. It is the primary all the same, and may
/// be started as one meanwhile.
void fold(Walk& walk, const DiskPaths& down_to) {
  try {
    walk.source().fold(walk.row().vm, down_to);
  } catch (const base::Error&) {
    give_back_now_or_later(walk);
    throw;
  }
}

void undo(Walk& walk) {
  ports::Hypervisor& source = walk.source();
  const model::VmName& vm = walk.row().vm;
  auto domain = source.find(vm);
  if (!domain) {
    throw base::Error(base::Kind::refused,
                      fmt::format("{} is no longer defined on {}", vm.get(), walk.row().from.get()),
                      fmt::format("define it again there, with {} as its disk{}", paths_text(walk.facts().overlays),
                                  walk.facts().overlays.size() == 1 ? "" : "s"));
  }
  const DiskPaths down_to = standing_on_overlay(walk, *domain);
  // Where the guest ended in the middle of the walk, its disk is the overlay and what lies below: folded live alone.
  const bool ended = domain->state == model::DomainState::off;
  if (ended && !down_to.empty()) {
    require_down_on_target(walk);
    give_back(walk);  // what is leaving is not started
    source.start(vm);
    walk.note_started_anew();
  }
  // The host's libvirt may have died in the freeze.
  if (!ended && walk.request().policy.quiesce) source.thaw(vm);
  if (!down_to.empty()) fold(walk, down_to);

  domain = source.find(vm);
  if (!domain || !standing_on_overlay(walk, *domain).empty()) {
    throw base::Error(base::Kind::internal, fmt::format("{} still stands on its overlay after folding", vm.get()));
  }
  const auto store = walk.ports().transport.connect(walk.row().from);
  for (const auto& [disk, overlay] : walk.facts().overlays) store->remove_made(overlay);
  give_back(walk);
}

}  // namespace

Step freeze() {
  return {"freeze", intend, act, happened, undo};
}

}  // namespace umbra::switchover::steps
