// SPDX-License-Identifier: Apache-2.0
#include "switchover/preconditions.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "ports/delta.hpp"
#include "ports/roles.hpp"
#include "ports/sync_files.hpp"

namespace umbra::switchover {
namespace {

using base::Error;
using base::Kind;
using model::DomainState;
using model::Role;

/// Room on the target beyond the expected delta: metadata of new layers, and what the guest writes during the walk.
constexpr model::ByteCount spare_room{64u << 20};

model::Domain check_source(const Ports& ports, const Request& request) {
  const std::string vm = request.vm.get();
  const std::string host = request.from.host.get();
  ports::Hypervisor& source = ports.hypervisors.at(request.from.host);
  const auto domain = source.find(request.vm);
  if (!domain) throw Error(Kind::not_found, fmt::format("no VM named {} on {}", vm, host), "umbra status");
  if (domain->state == DomainState::paused) {
    throw Error(Kind::refused, fmt::format("{} is paused on {}", vm, host), source.by_hand("resume", request.vm));
  }
  if (domain->state != DomainState::running) {
    throw Error(Kind::refused, fmt::format("{} does not run on {}", vm, host), source.by_hand("start", request.vm));
  }
  if (domain->snapshots) {
    throw Error(Kind::refused, fmt::format("libvirt knows snapshots of {}: it refuses to migrate it", vm),
                fmt::format("{}; {} --metadata NAME", source.by_hand("snapshot-list", request.vm),
                            source.by_hand("snapshot-delete", request.vm)));
  }
  if (ports::on_sync_overlay(*domain)) {
    throw Error(Kind::busy, fmt::format("{} runs on the overlay of a sync that was cut off", vm),
                fmt::format("umbra sync {} folds it", base::shell_word(vm)));
  }
  if (!domain->live_only.empty()) {
    const std::string disk = domain->live_only.front().get();
    const auto plugged = std::ranges::find(domain->disks, domain->live_only.front(), &model::Disk::name);
    throw Error(
        Kind::refused,
        fmt::format("disk {} was plugged into {} while it ran: its definition on {} lacks it, and so would the "
                    "one on {}",
                    disk, vm, host, request.to.host.get()),
        fmt::format("add it to the definition: {} {} {} --driver qemu --subdriver {} --config",
                    source.by_hand("attach-disk", request.vm), base::shell_word(plugged->path), disk, plugged->format));
  }
  if (domain->block_job)
    throw Error(Kind::busy,
                fmt::format("a block job of disk {} of {} is under way on {}", domain->block_job->get(), vm, host),
                fmt::format("wait for it, or: {} {} --abort", source.by_hand("blockjob", request.vm),
                            domain->block_job->get()));
  if (domain->job) {
    throw Error(Kind::busy, fmt::format("a backup or migration job of {} is under way on {}", vm, host),
                "wait for it, or: " + source.by_hand("domjobabort", request.vm));
  }
  return *domain;
}

/// File systems that an agent may or may not have frozen are not guessed about.
void check_agent(const Ports& ports, const Request& request, const model::Domain& source) {
  ports::Hypervisor& host = ports.hypervisors.at(request.from.host);
  if (!request.policy.quiesce || !source.agent || !host.agent_is_silent(request.vm)) return;
  throw Error(Kind::refused,
              fmt::format("the guest agent of {} on {} is connected and does not answer: its file systems can't be "
                          "frozen for the point",
                          request.vm.get(), request.from.host.get()),
              "restart it in the guest; or set `quiesce = false` for this VM: the move itself needs no agent");
}

void check_source_epoch(const model::Domain& source, const model::HostName& host, model::Epoch known,
                        const std::string& by_whom = {}) {
  const model::RoleTag& tag = source.tag;
  if (tag.epoch < known) {
    throw Error(Kind::refused,
                fmt::format("{} on {} has epoch {}, but {} is the newest known{}: it may be an old copy",
                            source.name.get(), host.get(), tag.epoch.value, known.value, by_whom),
                fmt::format("umbra status {}", base::shell_word(source.name)));
  }
}

}  // namespace

std::optional<model::Domain> check_target(const Ports& ports, const Request& request, const model::Uuid& uuid) {
  const std::string vm = request.vm.get();
  const std::string host = request.to.host.get();
  auto domain = ports.hypervisors.at(request.to.host).find(request.vm);
  if (!domain) return domain;
  if (model::is_rehearsal(*domain)) {
    throw Error(
        Kind::busy, fmt::format("a rehearsal of {} is up on {}, its cables out", vm, host),
        fmt::format("wait for it; one that was cut off is ended by: umbra shadow {} --rehearse", base::shell_word(vm)));
  }
  if (domain->state != DomainState::off) {
    throw Error(Kind::refused, fmt::format("{} is {} on {} too", vm, to_string(domain->state), host),
                fmt::format("umbra status {}; never let both run", base::shell_word(vm)));
  }
  if (domain->uuid != uuid) {
    throw Error(Kind::refused, fmt::format("another VM named {} is defined on {}", vm, host), "rename one of them");
  }
  const model::RoleTag& tag = domain->tag;
  if (tag.role != Role::shadow && tag.role != Role::hibernated) {
    throw Error(Kind::refused, fmt::format("{} on {} is no shadow: its role is {}", vm, host, to_string(tag.role)),
                fmt::format("umbra shadow {} --on {}", base::shell_word(vm), host));
  }
  if (tag.peer != request.from.host) {
    throw Error(Kind::refused,
                fmt::format("{} on {} is the {} of one on {}, not of the one on {}", vm, host, to_string(tag.role),
                            tag.peer.get(), request.from.host.get()),
                fmt::format("umbra status {}", base::shell_word(vm)));
  }
  return domain;
}

void check_target_can_hold(const Ports& ports, const Request& request, const model::Domain& guest) {
  ports::Hypervisor& target = ports.hypervisors.at(request.to.host);
  const std::string vm = request.vm.get();
  const std::string host = request.to.host.get();
  if (const model::CpuVerdict cpu = target.can_run_cpu_of(guest); !cpu.usable) {
    throw Error(Kind::refused, fmt::format("{} can't run the CPU of {}: {}", host, vm, cpu.reason),
                "umbra place " + base::shell_word(vm));
  }
  const model::HostFacts facts = target.facts();
  if (facts.memory_free < guest.memory) {
    throw Error(Kind::refused,
                fmt::format("{} has {} MiB of memory free, {} needs {}", host, facts.memory_free.value >> 20, vm,
                            guest.memory.value >> 20),
                "umbra place " + base::shell_word(vm));
  }
  for (const model::Nic& nic : guest.nics) {
    const auto mapped = request.to.networks.find(nic.network);
    const std::string& network = mapped == request.to.networks.end() ? nic.network : mapped->second;
    if (std::find(facts.networks.begin(), facts.networks.end(), network) != facts.networks.end()) continue;
    throw Error(Kind::refused, fmt::format("{} has no network {}, which {} uses", host, network, vm),
                fmt::format("[hosts.{}] networks = {{ \"{}\" = \"ITS NAME THERE\" }}", host, nic.network));
  }
}

namespace {

/// A guest comes up on the target with what lies in its drives.
void check_media(const Ports& ports, const Request& request, const model::Domain& source) {
  if (source.media.empty()) return;
  const auto far = ports.transport.connect(request.to.host);
  for (const model::Medium& medium : source.media) {
    try {
      far->chain(medium.file);
    } catch (const Error& e) {
      if (e.kind() != Kind::not_found) throw;
      throw Error(
          Kind::refused,
          fmt::format("{} has {} in a drive, which {} lacks", request.vm.get(), medium.file, request.to.host.get()),
          fmt::format("copy it there, or eject it: {} {} --eject --live --config",
                      ports.hypervisors.at(request.from.host).by_hand("change-media", request.vm), medium.drive.get()));
    }
  }
}

}  // namespace

ports::ShadowRow check_shadow(const Ports& ports, const Request& request, const model::Uuid& uuid) {
  const std::string vm = request.vm.get();
  const auto row = ports.registry.find(request.vm);
  if (!row) throw Error(Kind::refused, fmt::format("{} has no shadow", vm), ports::make_first(request.vm));
  ports::require_shadow_of(*row, uuid);
  if (row->id != request.shadow || row->host != request.to.host || row->primary_host != request.from.host) {
    throw Error(Kind::refused,
                fmt::format("{}'s shadow {} stands on {} for the VM on {}", vm, row->id.get(), row->host.get(),
                            row->primary_host.get()),
                fmt::format("umbra status {}", base::shell_word(vm)));
  }
  return *row;
}

model::PointInfo newest_point(const Request& request, ports::PointStore& store) {
  const std::string vm = request.vm.get();
  const auto points = store.points(request.shadow);
  if (points.empty()) {
    throw Error(Kind::refused, fmt::format("the shadow of {} on {} holds no point yet", vm, request.to.host.get()),
                "umbra replicate " + base::shell_word(vm));
  }
  const model::PointInfo* sound = model::newest_sound(points);
  if (sound == nullptr)
    throw Error(Kind::refused,
                fmt::format("every point of {} on {} is damaged, the newest: {}", vm, request.to.host.get(),
                            points.back().damaged),
                "umbra replicate " + base::shell_word(vm) + " repairs it");
  return *sound;
}

namespace {

/// A clock that was set back makes points of the past look like those of the future, and what is to come older than
/// what is there.
void check_clock(const Ports& ports, const Request& request, const model::PointInfo& newest) {
  constexpr base::Millis unnoticed{60'000};
  const base::Instant now = ports.clock.now();
  if (newest.taken_at - now < unnoticed) return;
  throw Error(
      Kind::refused,
      fmt::format("point {} of {} was taken at {}, and it is {} now: the clock was set back", newest.number.value,
                  request.vm.get(), base::to_rfc3339(newest.taken_at), base::to_rfc3339(now)),
      fmt::format("see that the clock is right (date -u); then: umbra replicate {}", base::shell_word(request.vm)));
}

void check_room(const Request& request, ports::PointStore& store, const model::HostName& host,
                model::ByteCount needed) {
  const model::ByteCount room = store.free_space();
  if (room >= needed) return;
  throw Error(Kind::refused,
              fmt::format("{} has {} MiB free for the layers of {}, about {} are needed", host.get(), room.value >> 20,
                          request.vm.get(), needed.value >> 20),
              fmt::format("make room on {}, or lower `retain`", host.get()));
}

model::PointInfo check_points(const Ports& ports, const Request& request, const model::Domain& source,
                              const ports::ShadowRow& row) {
  const std::string vm = request.vm.get();
  const auto store = ports.transport.connect(request.to.host);
  const model::PointInfo newest = newest_point(request, *store);
  check_clock(ports, request, newest);
  for (const model::Disk& disk : source.disks) {
    const auto part = std::find_if(newest.parts.begin(), newest.parts.end(),
                                   [&](const model::Part& p) { return p.name == disk.name; });
    if (part == newest.parts.end() || (disk.size.value != 0 && part->size != disk.size)) {
      throw Error(Kind::refused,
                  fmt::format("point {} of {} does not fit disk {} of today: it was added or resized since",
                              newest.number.value, vm, disk.name.get()),
                  ports::make_anew(request.vm));
    }
  }
  const model::ByteCount delta = row.replica ? row.replica->dirty : model::ByteCount{};
  check_room(request, *store, request.to.host, delta + spare_room);
  // There the guest writes into a layer of its own until it has gone: about as much as between two points.
  check_room(request, *ports.transport.connect(request.from.host), request.from.host, delta + spare_room);
  return newest;
}

/// Where the old home is given up after the window, there is no way back to it by then.
void check_window(const Ports& ports, const Request& request, const ports::Walk& there) {
  if (request.policy.after != model::After::decommission) return;
  const base::Seconds over = since_end_of(ports, there) - request.policy.rollback_window;
  if (over.count() < 0) return;
  throw Error(Kind::refused,
              fmt::format("the rollback window of {} ended {} ago: the old primary of {} on {} may be decommissioned",
                          base::to_human(request.policy.rollback_window), base::to_human(over), request.vm.get(),
                          request.to.host.get()),
              fmt::format("as long as it is not: umbra switchover {} moves it there", base::shell_word(request.vm)));
}

/// A walk back needs a walk there: the newest finished one must have come from where this one goes.
void check_there_was_a_walk(const Ports& ports, const Request& request, const std::vector<ports::Walk>& walks) {
  for (const ports::Walk& walk : walks) {
    if (walk.state != "done") continue;
    if (walk.from == request.to.host && walk.to == request.from.host) return check_window(ports, request, walk);
    break;
  }
  throw Error(Kind::refused,
              fmt::format("{} did not come from {} to {} by a switchover: there is nothing to roll back",
                          request.vm.get(), request.to.host.get(), request.from.host.get()),
              fmt::format("umbra switchover {}", base::shell_word(request.vm)));
}

}  // namespace

void check_no_open_walk(const Ports& ports, const model::VmName& vm) {
  for (const ports::Walk& walk : ports.journal.open_walks()) {
    if (walk.vm != vm) continue;
    throw Error(
        Kind::interrupted,
        fmt::format("a {} of {} from {} to {} was interrupted", walk.kind, vm.get(), walk.from.get(), walk.to.get()),
        "umbra switchover --recover " + base::shell_word(vm));
  }
}

Survey survey(const Ports& ports, const Request& request, const std::string& kind) {
  check_no_open_walk(ports, request.vm);
  ports::check_hosts_differ(request.vm, request.from.host, request.to.host);
  Survey seen;
  seen.source = check_source(ports, request);
  ports.hypervisors.at(request.from.host)
      .begin_dirty_rate(request.vm);  // for the estimate, while the rest is looked at
  ports::require_tracked_disks(ports.hypervisors.at(request.from.host), seen.source);
  ports::require_primary(ports.hypervisors.at(request.from.host), seen.source);
  check_source_epoch(seen.source, request.from.host, ports.journal.epoch(seen.source.uuid));
  const auto walks = ports.journal.walks(seen.source.uuid);
  if (kind == "rollback")  // of a guest that hangs, too
    check_there_was_a_walk(ports, request, walks);
  else
    check_agent(ports, request, seen.source);
  seen.target = check_target(ports, request, seen.source.uuid);
  // The state may be lost, or another's: the hosts know too.
  if (seen.target)
    check_source_epoch(seen.source, request.from.host, seen.target->tag.epoch, " on " + request.to.host.get());
  seen.shadow = check_shadow(ports, request, seen.source.uuid);
  if (!seen.target && kind != "rollback") {
    throw Error(Kind::refused,
                fmt::format("the shadow of {} is not defined on {} any more", request.vm.get(), request.to.host.get()),
                fmt::format("umbra shadow {} --on {} defines it anew", base::shell_word(request.vm),
                            base::shell_word(request.to.host)));
  }
  seen.newest = check_points(ports, request, seen.source, seen.shadow);
  check_target_can_hold(ports, request, seen.source);
  check_media(ports, request, seen.source);

  seen.proposed = next_epoch(ports, seen);
  return seen;
}

void require_sound_files(const Ports& ports, const Request& request) {
  const auto examine = [&] {
    try {
      return ports.transport.connect(request.to.host)->examine(request.shadow).damage;
    } catch (const Error& e) {
      if (e.kind() != Kind::corrupt) throw;
      throw Error(Kind::refused, e.what(), e.hint());
    }
  };
  const std::string damage = examine();
  if (damage.empty()) return;
  throw Error(Kind::refused,
              fmt::format("the shadow of {} on {} is damaged: {}", request.vm.get(), request.to.host.get(), damage),
              fmt::format("umbra replicate {} repairs it", base::shell_word(request.vm)));
}

base::Seconds since_end_of(const Ports& ports, const ports::Walk& walk) {
  const auto entries = ports.journal.entries(walk.id);
  return ports.clock.now() - (entries.empty() ? walk.started : entries.back().at);
}

model::Epoch next_epoch(const Ports& ports, const Survey& seen) {
  model::Epoch highest = std::max(ports.journal.epoch(seen.source.uuid), seen.source.tag.epoch);
  if (seen.target) highest = std::max(highest, seen.target->tag.epoch);
  for (const ports::Walk& walk : ports.journal.walks(seen.source.uuid)) highest = std::max(highest, walk.epoch);
  return highest.next();
}

}  // namespace umbra::switchover
