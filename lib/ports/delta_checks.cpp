// SPDX-License-Identifier: Apache-2.0
// What is refused before a point is sent, and in which words.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "ports/delta.hpp"
#include "ports/sync_files.hpp"

namespace umbra::ports {

using base::Error;
using base::Kind;

std::string next_pass(const model::ShadowId& shadow, const model::VmName& vm) {
  const std::string name = base::shell_word(vm);
  if (shadow.get() == vm.get()) return fmt::format("umbra replicate --source ... --name {}", name);
  return "umbra replicate " + name;
}

std::string make_anew(const model::VmName& vm) {
  return fmt::format(
      "make the shadow anew: umbra shadow {0} --drop && umbra place {0} | umbra shadow - | umbra replicate -",
      base::shell_word(vm));
}

std::string make_first(const model::VmName& vm) {
  return fmt::format("umbra place {} | umbra shadow -", base::shell_word(vm));
}

void check_hosts_differ(const model::VmName& vm, const model::HostName& primary, const model::HostName& shadow_host) {
  if (primary != shadow_host) return;
  throw Error(Kind::refused,
              fmt::format("{} runs on {}, where its shadow is: both ends are one host", vm.get(), primary.get()),
              fmt::format("umbra status {}", base::shell_word(vm)));
}

void require_shadow_of(const ShadowRow& row, const model::Uuid& vm) {
  if (row.vm_uuid == vm) return;
  throw Error(Kind::refused,
              fmt::format("the shadow {} on {} is of another VM that was named {} (uuid {})", row.id.get(),
                          row.host.get(), row.vm.get(), row.vm_uuid.get()),
              "if that VM is gone, " + make_anew(row.vm));
}

bool is_tracked(const model::Disk& disk) {
  return disk.format == "qcow2";
}

std::vector<model::DiskName> untracked_disks(const model::Domain& domain) {
  std::vector<model::DiskName> names;
  for (const model::Disk& disk : domain.disks) {
    if (!is_tracked(disk)) names.push_back(disk.name);
  }
  return names;
}

std::string formats_of(const model::Domain& domain, const std::vector<model::DiskName>& disks) {
  std::string text;
  for (const model::Disk& disk : domain.disks) {
    if (std::ranges::find(disks, disk.name) == disks.end()) continue;
    const std::string format = disk.format.empty() ? "of an unknown format" : disk.format;
    text += fmt::format("{}{} is {}", text.empty() ? "" : ", ", disk.name.get(), format);
  }
  return text;
}

void require_disks(const Hypervisor& hypervisor, const model::Domain& domain) {
  if (!domain.disks.empty()) return;
  throw Error(Kind::unsupported,
              fmt::format("{} on {} has no writable disk", domain.name.get(), hypervisor.host().get()),
              "look at it: " + hypervisor.by_hand("domblklist --details", domain.name));
}

void require_file_disks(const Hypervisor& hypervisor, const model::Domain& domain) {
  require_disks(hypervisor, domain);
  const std::string where = fmt::format("{} on {}", domain.name.get(), hypervisor.host().get());
  for (const model::Disk& disk : domain.disks) {
    if (disk.path.empty())
      throw Error(Kind::unsupported,
                  fmt::format("disk {} of {} is no file: only files are replicated", disk.name.get(), where),
                  "copy it into a qcow2 file while the VM is off, and name that in the definition");
  }
}

void require_tracked_disks(const Hypervisor& hypervisor, const model::Domain& domain) {
  require_file_disks(hypervisor, domain);
  for (const model::Disk& disk : domain.disks) {
    if (is_tracked(disk)) continue;
    throw Error(
        Kind::unsupported,
        fmt::format("disk {} of {} on {} is {}: changes are tracked, and layers put over it, in qcow2 alone",
                    disk.name.get(), domain.name.get(), hypervisor.host().get(),
                    disk.format.empty() ? "of an unknown format" : disk.format),
        fmt::format("convert it on that host while the VM is off: qemu-img convert -O qcow2 {0} {0}.qcow2; then, with "
                    "{1}, make {0}.qcow2 the disk's source and qcow2 its driver's type",
                    base::shell_word(disk.path), hypervisor.by_hand("edit", domain.name)));
  }
}

void clear_stale_job(Hypervisor& hypervisor, const model::Domain& domain) {
  if (!domain.job) return;
  if (domain.block_job && on_sync_overlay(domain)) return;  // a sync's commit that was cut off: folding goes on with it
  if (!hypervisor.end_stale_backup(domain.name)) {
    const std::string where = fmt::format("{} on {}", domain.name.get(), hypervisor.host().get());
    if (domain.block_job)
      throw Error(Kind::busy, fmt::format("a block job of disk {} of {} is under way", domain.block_job->get(), where),
                  fmt::format("wait for it, or look at it: {} {}", hypervisor.by_hand("blockjob", domain.name),
                              domain.block_job->get()));
    throw Error(Kind::busy, fmt::format("another job is under way on {}", where),
                "wait for it, or look at it: " + hypervisor.by_hand("domjobinfo", domain.name));
  }
  base::log(base::Level::info,
            fmt::format("{}: ended a backup job that an earlier run left behind", domain.name.get()));
}

bool bitmap_unusable(const Error& error) {
  switch (error.kind()) {
    case Kind::corrupt:
    case Kind::not_found:
    case Kind::unsupported:
    case Kind::invalid:
    case Kind::io:
      return true;
    default:
      return false;
  }
}

std::string what_is_safe(const std::vector<model::PointInfo>& points) {
  const auto sound =
      std::find_if(points.rbegin(), points.rend(), [](const auto& point) { return point.read_back && point.sound(); });
  if (sound == points.rend()) return "there is no point yet that is known to be restorable";
  return fmt::format("point {} of {} stays restorable", sound->number.value, base::to_rfc3339(sound->taken_at));
}

}  // namespace umbra::ports
