// SPDX-License-Identifier: Apache-2.0
// Building a scene: hosts, a VM, and what a pass of replication leaves behind.
#include <fmt/core.h>

#include "fakes/sim_world.hpp"

namespace umbra::fakes {

void SimWorld::add_host(const std::string& name) {
  SimHost host;
  host.facts.name = model::HostName(name);
  host.facts.cpus = 8;
  host.facts.memory = {16ull << 30};
  host.facts.memory_free = {8ull << 30};
  host.facts.networks = {"br0"};
  hosts[host.facts.name] = host;
}

void SimWorld::add_vm(const model::VmName& vm, const model::HostName& on, unsigned disks, std::uint64_t blocks) {
  model::Domain domain;
  domain.name = vm;
  domain.uuid = model::Uuid("00000000-0000-4000-8000-" + fmt::format("{:012}", guests.size() + 1));
  domain.state = model::DomainState::running;
  domain.memory = {1ull << 30};
  domain.nics = {{"52:54:00:00:00:01", "br0"}};
  for (unsigned i = 0; i < disks; ++i) {
    model::Disk disk;
    disk.name = model::DiskName(std::string("vd") + static_cast<char>('a' + i));
    disk.path = fmt::format("/images/{}-{}.qcow2", vm.get(), disk.name.get());
    disk.format = "qcow2";
    disk.size = {blocks * model::block_size};
    domain.disks.push_back(disk);
    host(on).files[disk.path] = {disk.size, "", {}, {}};
  }
  model::Domain definition = domain;
  definition.state = model::DomainState::off;
  host(on).domains[vm] = {definition, domain, {}};
  guests[vm] = {};
  for (std::uint64_t i = 0; i < blocks / 2; ++i) event();
}

void SimWorld::replicate(const model::VmName& vm, const model::HostName& primary, const model::HostName& to,
                         const model::ShadowId& id) {
  SimHost& from = host(primary);
  SimHost& far = host(to);
  SimDomain& domain = from.domains.at(vm);
  SimShadow& shadow = far.shadows[id];
  shadow.vm = vm;
  const model::PointNumber parent = shadow.points.empty() ? model::PointNumber{} : shadow.points.rbegin()->first;
  SimPoint point;
  point.info.number = parent.next();
  point.info.taken_at = base::Instant(time);
  std::map<model::DiskName, std::string> paths;
  for (const model::Disk& disk : domain.live->disks) {
    SimFile layer{disk.size, "", {}, {}};
    if (parent.value != 0) layer.backing = shadow.points.at(parent).info.layers[point.info.layers.size()];
    model::PartManifest part{{disk.name, disk.size}, {}};
    for (std::uint64_t block = 0; block < model::blocks_in(disk.size); ++block) {
      const std::uint64_t number = read(from, disk.path, block);
      part.blocks.push_back(sim_digest(number));
      if (layer.backing.empty() ? number != 0 : read(far, layer.backing, block) != number) layer.blocks[block] = number;
    }
    paths[disk.name] = sim_point_path(id, point.info.number, disk.name);
    far.files[paths[disk.name]] = layer;
    point.info.parts.push_back(part.part);
    point.info.layers.push_back(paths[disk.name]);
    point.manifest.parts.push_back(part);
    SimFile& top = from.files.at(disk.path);
    for (const auto& checkpoint : domain.checkpoints) top.bitmaps.erase(checkpoint.get());
    top.bitmaps[fmt::format("umbra-{0}-{0:08x}", point.info.number.value)] = {};
  }
  point.info.root = model::root_of(point.manifest);
  point.info.checkpoint = fmt::format("umbra-{0}-{0:08x}", point.info.number.value);
  domain.checkpoints = {model::CheckpointName(fmt::format("umbra-{0}-{0:08x}", point.info.number.value))};
  shadow.points[point.info.number] = point;

  if (!far.domains.contains(vm)) {
    const model::RoleTag tag{model::Role::primary, to, epochs[domain.defined->uuid]};
    domain.defined->tag = domain.live->tag = tag;
    model::Domain stand_in = *domain.defined;
    stand_in.tag = {model::Role::shadow, primary, epochs[stand_in.uuid]};
    for (model::Disk& disk : stand_in.disks) disk.path = paths[disk.name];
    far.domains[vm] = {stand_in, std::nullopt, {}};
  }
  ports::ShadowRow row;
  row.vm_uuid = domain.defined->uuid;
  row.vm = vm;
  row.id = id;
  row.primary_host = primary;
  row.host = to;
  row.level = model::ShadowLevel::seeded;
  registry[vm] = row;
}

void SimWorld::add_memory(const model::HostName& name, const model::ShadowId& id) {
  SimHost& there = host(name);
  model::PointInfo& newest = there.shadows.at(id).points.rbegin()->second.info;
  SimMemory memory;
  for (std::size_t i = 0; i < newest.parts.size(); ++i) {
    for (std::uint64_t block = 0; block < model::blocks_in(newest.parts[i].size); ++block) {
      if (const std::uint64_t number = read(there, newest.layers[i], block); number != 0)
        memory.disks[newest.parts[i].name][block] = number;
    }
  }
  const std::string file = sim_point_path(id, newest.number, model::memory_part);
  newest.parts.push_back({model::memory_part, {1u << 20}});
  newest.layers.push_back(file);
  there.memories[file] = memory;
}

}  // namespace umbra::fakes
