// SPDX-License-Identifier: Apache-2.0
#include "ports/sync_files.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"

namespace umbra::ports {
namespace {

using base::Error;
using base::Kind;

constexpr std::string_view overlay_ending = ".umbra-sync.qcow2";
constexpr base::Millis reader_gone_within{5'000};

/// The file of the disk below an overlay that a sync put there.
const std::string& below_overlay(const model::Disk& disk, const std::vector<std::string>& chain) {
  const auto it = std::ranges::find_if(chain, [](const std::string& file) { return !file.ends_with(overlay_ending); });
  if (it == chain.end())
    throw Error(Kind::corrupt, fmt::format("the chain of disk {} ends in {}", disk.name.get(), disk.path),
                fmt::format("look at it: qemu-img info --backing-chain {}", disk.path));
  return *it;
}

void fold_once_free(Hypervisor& primary, const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to,
                    base::Clock& clock) {
  const base::Millis end = clock.steady() + reader_gone_within;
  for (;;) {
    try {
      return primary.fold(vm, down_to);
    } catch (const Error& e) {
      // QEMU has no number for a file that another process holds: any failure that may be one is tried again.
      const bool may_be_held = e.kind() == Kind::busy || e.kind() == Kind::io;
      if (!may_be_held || clock.steady() >= end) throw;
    }
    clock.pause(base::Millis{100});
  }
}

}  // namespace

std::string overlay_path(const std::string& disk_path) {
  constexpr std::string_view ending = ".qcow2";
  std::string stem = disk_path;
  if (stem.ends_with(ending)) stem.resize(stem.size() - ending.size());
  return stem + std::string(overlay_ending);
}

std::string memory_path(const std::string& images, const model::VmName& vm) {
  return fmt::format("{}/{}.umbra-sync.mem", images, vm.get());
}

bool on_sync_overlay(const model::Domain& domain) {
  return std::ranges::any_of(domain.disks, [](const model::Disk& disk) { return disk.path.ends_with(overlay_ending); });
}

model::Domain clear_sync_files(Hypervisor& primary, PointStore& own, model::Domain domain, const std::string& images,
                               base::Clock& clock) {
  if (domain.state == model::DomainState::off) return domain;
  std::map<model::DiskName, std::string> down_to;
  for (const model::Disk& disk : domain.disks) {
    if (disk.path.ends_with(overlay_ending)) down_to[disk.name] = below_overlay(disk, own.chain(disk.path));
  }
  if (!down_to.empty()) {
    base::log(base::Level::info, fmt::format("{}: folding back what an earlier sync left", domain.name.get()));
    fold_once_free(primary, domain.name, down_to, clock);
    auto now = primary.find(domain.name);
    if (!now) throw Error(Kind::not_found, fmt::format("{} vanished from {}", domain.name.get(), primary.host().get()));
    domain = std::move(*now);
  }
  for (const model::Disk& disk : domain.disks) {
    const std::string overlay = overlay_path(disk.path);
    if (!std::ranges::count(own.chain(disk.path), overlay)) own.remove_made(overlay);
  }
  own.remove_made(memory_path(images, domain.name));
  return domain;
}

}  // namespace umbra::ports
