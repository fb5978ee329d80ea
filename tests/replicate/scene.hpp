// SPDX-License-Identifier: Apache-2.0
#pragma once
// A VM on alpha with an empty shadow on beta, and what the tests of replication ask of them.

#include "fakes/memory_lab.hpp"
#include "fakes/thrown.hpp"
#include "replicate/finish.hpp"
#include "replicate/replicate.hpp"

namespace umbra::replicate {

inline constexpr std::uint64_t block = model::block_size;

struct Scene {
  explicit Scene(std::vector<std::uint64_t> sizes = {32 * block}) {
    model::Domain& domain = lab.add_vm("alpha", "web1", sizes);
    std::vector<model::Part> disks;
    for (const model::Disk& disk : domain.disks) disks.push_back({disk.name, disk.size});
    lab.host("beta").storage.shadows[id] = {vm, disks, {}, {}, {}};
    request.vm = vm;
    request.primary = alpha;
    request.shadow_host = beta;
    request.shadow = id;
    request.retain = 3;
  }

  PassResult pass() {
    lab.clock.advance(base::Seconds(60));
    return run_pass(lab.context(), request);
  }
  void write(std::uint64_t first_block, std::uint64_t blocks, unsigned char value, const std::string& disk = "vda") {
    lab.write("alpha", "web1", disk, first_block * block, blocks * block, value);
  }
  model::Domain& domain() { return lab.host("alpha").domains.at(vm); }
  std::vector<model::CheckpointName>& checkpoints() { return lab.host("alpha").checkpoints[vm]; }
  /// The numbers in the names of Umbra's own checkpoints.
  std::vector<std::uint64_t> followed() {
    std::vector<std::uint64_t> numbers;
    for (const model::CheckpointName& name : checkpoints()) {
      if (const auto number = ports::point_of(name)) numbers.push_back(number->value);
    }
    return numbers;
  }
  std::map<std::uint64_t, fakes::MemoryPoint>& points() { return lab.host("beta").storage.shadows.at(id).points; }
  const fakes::MemoryPoint& newest() { return points().rbegin()->second; }
  /// Every disk of the newest point is what the primary's disk is now.
  bool newest_is_disk() {
    for (const model::Disk& disk : domain().disks) {
      if (!(newest().parts.at(disk.name) == lab.disk("alpha", "web1", disk.name.get()))) return false;
    }
    return true;
  }

  fakes::MemoryLab lab;
  model::VmName vm{"web1"};
  model::HostName alpha{"alpha"};
  model::HostName beta{"beta"};
  model::ShadowId id{"web1-12345678"};
  PassRequest request;
};

/// The last delta of the disks as they are, at this moment.
inline FinishRequest finish_request(Scene& scene) {
  FinishRequest request;
  request.vm = scene.vm;
  request.primary = scene.alpha;
  request.shadow_host = scene.beta;
  request.shadow = scene.id;
  request.checkpoints = scene.checkpoints();
  request.frozen = scene.domain().disks;
  request.taken_at = scene.lab.clock.now();
  return request;
}

using test::kind_of;

}  // namespace umbra::replicate
