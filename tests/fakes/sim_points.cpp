// SPDX-License-Identifier: Apache-2.0
// Simulated point stores and block sources over the files of simulated hosts.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "fakes/sim_ports.hpp"

namespace umbra::fakes {
namespace {

using base::Error;
using base::Kind;
using DiskPaths = std::map<model::DiskName, std::string>;

std::uint64_t number_in(std::span<const std::byte> block) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8 && i < block.size(); ++i) number |= std::to_integer<std::uint64_t>(block[i]) << (8 * i);
  return number;
}

class SimSource : public ports::BlockSource {
 public:
  SimSource(SimWorld& world, model::ByteCount size, std::vector<std::uint64_t> blocks,
            std::optional<std::set<std::uint64_t>> changed)
      : m_world(world), m_size(size), m_blocks(std::move(blocks)), m_changed(std::move(changed)) {}
  model::ByteCount size() const override { return m_size; }
  bool tracks_changes() const override { return m_changed.has_value(); }
  void each_extent(const std::function<void(const ports::Extent&)>& each) override {
    for (std::uint64_t block = 0; block < m_blocks.size(); ++block) {
      each({block * model::block_size, model::block_size, m_blocks[block] == 0,
            !m_changed || m_changed->contains(block)});
    }
  }
  void read(std::span<const ports::Range> ranges,
            const std::function<void(const ports::Range&, std::span<const std::byte>)>& each) override {
    m_world.call("read", [] {});
    for (const ports::Range& range : ranges) {
      std::vector<std::byte> bytes;
      for (std::uint64_t at = range.offset; at < range.offset + range.length; at += model::block_size) {
        const auto block = sim_block(m_blocks.at(at / model::block_size));
        bytes.insert(bytes.end(), block.begin(), block.end());
      }
      each(range, bytes);
    }
  }

 private:
  SimWorld& m_world;
  model::ByteCount m_size;
  std::vector<std::uint64_t> m_blocks;
  std::optional<std::set<std::uint64_t>> m_changed;
};

class SimSink : public ports::BlockSink {
 public:
  SimSink(SimWorld& world, model::HostName host, model::PointHeader header)
      : m_world(world), m_host(std::move(host)), m_header(std::move(header)), m_told(m_header.parts.size()) {}
  void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data) override {
    if (sim_digest(number_in(data)) != digest) throw Error(Kind::corrupt, "a block differs from its digest");
    m_changes.data(part, block, digest);
    m_told[part][block] = number_in(data);
    m_sent += {data.size()};
  }
  void zero(std::size_t part, std::uint64_t first, std::uint64_t count) override {
    m_changes.zero(part, first, count);
    for (std::uint64_t block = first; block < first + count; ++block) m_told[part][block] = 0;
  }
  model::PointInfo commit(const base::Digest& changes) override {
    return m_world.call(m_host.get() + " commit", [&] {
      if (m_changes.finish() != changes) throw Error(Kind::corrupt, "the changes differ from what came");
      return write();
    });
  }
  model::ByteCount sent() const override { return m_sent; }

 private:
  model::PointInfo write() {
    SimHost& host = m_world.host(m_host);
    SimShadow& shadow = host.shadows[m_header.shadow];
    SimPoint point;
    point.info.number = m_header.number;
    point.info.taken_at = m_header.taken_at;
    point.info.checkpoint = m_header.checkpoint;
    point.info.parts = m_header.parts;
    for (std::size_t i = 0; i < m_header.parts.size(); ++i) {
      const model::Part& part = m_header.parts[i];
      SimFile layer{part.size, "", m_told[i], {}};
      if (m_header.parent.value != 0) layer.backing = shadow.points.at(m_header.parent).info.layers.at(i);
      const std::string path = sim_point_path(m_header.shadow, m_header.number, part.name);
      host.files[path] = layer;
      point.info.layers.push_back(path);
      model::PartManifest manifest{part, {}};
      for (std::uint64_t block = 0; block < model::blocks_in(part.size); ++block) {
        manifest.blocks.push_back(sim_digest(SimWorld::read(host, path, block)));
      }
      point.manifest.parts.push_back(manifest);
    }
    point.info.root = model::root_of(point.manifest);
    shadow.points[m_header.number] = point;
    return point.info;
  }

  SimWorld& m_world;
  model::HostName m_host;
  model::PointHeader m_header;
  std::vector<std::map<std::uint64_t, std::uint64_t>> m_told;
  ports::ChangeDigest m_changes;
  model::ByteCount m_sent;
};

class SimPoints : public ports::PointStore {
 private:
  template <class Effect>
  auto call(const std::string& name, Effect effect) {
    return m_world.call(m_name.get() + " " + name, [&] {
      if (!host().reachable) throw Error(Kind::unreachable, m_name.get() + " does not answer");
      return effect();
    });
  }

 public:
  SimPoints(SimWorld& world, model::HostName host) : m_world(world), m_name(std::move(host)) {}

  DiskPaths create(const model::ShadowId&, const model::VmName&, const std::vector<model::Part>&) override {
    throw Error(Kind::unsupported, "SimWorld::replicate makes shadows");
  }
  DiskPaths claim(const model::ShadowId&, const model::ShadowId&, const model::VmName&,
                  const std::vector<model::Part>&) override {
    throw Error(Kind::unsupported, "the simulated store has no pool");
  }
  void drop(const model::ShadowId& id) override {
    call("drop", [&] { erase(id, false); });
  }
  void drop_with_adopted(const model::ShadowId& id) override {
    call("drop with adopted", [&] { erase(id, true); });
  }
  void take_back(const model::ShadowId&) override {
    throw Error(Kind::unsupported, "SimWorld::replicate makes shadows");
  }
  std::vector<model::ShadowId> shadows() override {
    return call("shadows", [&] {
      std::vector<model::ShadowId> ids;
      for (const auto& [id, shadow] : host().shadows) ids.push_back(id);
      return ids;
    });
  }
  std::vector<model::PointInfo> points(const model::ShadowId& id) override {
    return call("points", [&] {
      std::vector<model::PointInfo> infos;
      for (const auto& [number, point] : host().shadows[id].points) infos.push_back(point.info);
      return infos;
    });
  }
  model::Manifest manifest(const model::ShadowId& id, model::PointNumber point) override {
    return call("manifest", [&] { return host().shadows.at(id).points.at(point).manifest; });
  }
  std::string activity(const model::ShadowId& id, model::PointNumber point) override {
    return call("activity", [&] { return host().shadows.at(id).points.at(point).activity; });
  }
  model::Ground examine(const model::ShadowId& id) override {
    return call("examine", [&] {
      std::vector<model::PointInfo> infos;
      for (const auto& [number, point] : host().shadows[id].points) infos.push_back(point.info);
      return model::ground_of(infos);
    });
  }
  std::unique_ptr<ports::BlockSink> begin(const model::PointHeader& header) override {
    return call("begin point", [&] { return std::make_unique<SimSink>(m_world, m_name, header); });
  }
  model::VerifyReport verify(const model::ShadowId& id, model::PointNumber number, ports::Verify) override {
    return call("verify", [&] {
      model::VerifyReport report;
      const SimPoint& point = host().shadows.at(id).points.at(number);
      for (std::size_t i = 0; i < point.manifest.parts.size(); ++i) {
        const model::PartManifest& part = point.manifest.parts[i];
        if (!equals(point.info.layers[i], part)) report.add({part.part.name, 0, "differs"});
      }
      return report;
    });
  }
  std::vector<std::string> export_point(const model::ShadowId&, model::PointNumber, const std::string&) override {
    throw Error(Kind::unsupported, "the simulated store exports nothing");
  }
  unsigned retain(const model::ShadowId& id, const ports::Keep& keep) override {
    return call("retain", [&] {
      unsigned merged = 0;
      auto& points = host().shadows[id].points;
      for (; points.size() > keep.most; ++merged) merge_oldest(points);
      return merged;
    });
  }
  DiskPaths raise_top(const model::ShadowId& id, model::PointNumber number, const std::string& purpose) override {
    return call("raise top", [&] {
      const SimPoint& point = host().shadows.at(id).points.at(number);
      if (const auto there = host().shadows.at(id).tops.find(purpose); there != host().shadows.at(id).tops.end())
        return there->second;
      DiskPaths paths;
      for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
        const model::Part& part = point.info.parts[i];
        if (part.is_memory()) continue;
        const std::string path = fmt::format("/images/umbra/{}/top-{}/{}.qcow2", id.get(), purpose, part.name.get());
        host().files[path] = {part.size, point.info.layers[i], {}, {}};
        paths[part.name] = path;
      }
      host().shadows.at(id).tops[purpose] = paths;
      return paths;
    });
  }
  void drop_top(const model::ShadowId& id, const std::string& purpose) override {
    call("drop top", [&] {
      auto& tops = host().shadows[id].tops;
      const auto top = tops.find(purpose);
      if (top == tops.end()) return;
      for (const auto& [disk, path] : top->second) remove_file(path);
      tops.erase(top);
    });
  }
  void adopt(const ports::AdoptRequest& request) override {
    call("adopt", [&] {
      if (host().free < model::ByteCount{1u << 20}) throw Error(Kind::no_space, "No space left on device");
      SimPoint point;
      point.info.number = request.number;
      point.info.taken_at = request.taken_at;
      for (const model::PartManifest& part : request.manifest.parts) {
        const std::string& path = request.layers.at(part.part.name);
        if (SimWorld::in_use(host(), path)) SimWorld::violation("adopted while a guest stands on it: " + path);
        if (!equals(path, part)) SimWorld::violation("an adopted file differs from its point: " + path);
        host().files.at(path).bitmaps.clear();
        point.info.parts.push_back(part.part);
        point.info.layers.push_back(path);
      }
      point.manifest = request.manifest;
      point.info.root = model::root_of(point.manifest);
      SimShadow& shadow = host().shadows[request.shadow];
      if (!shadow.points.empty() && shadow.points.rbegin()->first >= request.number) {
        throw Error(Kind::refused, "an older point can't follow a newer one");
      }
      shadow.vm = request.vm;
      shadow.points[request.number] = point;
    });
  }
  void remove_made(const std::string& path) override {
    call("remove made", [&] {
      if (path.find(".umbra-") == std::string::npos) throw Error(Kind::refused, "Umbra did not make " + path);
      for (const auto& [vm, domain] : host().domains) {
        if (domain.defined && std::any_of(domain.defined->disks.begin(), domain.defined->disks.end(),
                                          [&](const model::Disk& disk) { return disk.path == path; })) {
          SimWorld::violation("removed, though a definition names it: " + path);
        }
      }
      remove_file(path);
    });
  }
  std::vector<std::string> chain(const std::string& path) override {
    return call("chain", [&] { return SimWorld::chain(host(), path); });
  }
  model::FileStamp stamp(const std::string& path) override {
    return call("stamp", [&] {
      if (!host().files.contains(path)) throw Error(Kind::not_found, "no file " + path);
      return model::FileStamp{};
    });
  }
  model::ByteCount free_space() override {
    return call("free space", [&] { return host().free; });
  }

 private:
  SimHost& host() { return m_world.host(m_name); }
  bool equals(const std::string& path, const model::PartManifest& part) {
    for (std::uint64_t block = 0; block < part.blocks.size(); ++block) {
      if (sim_digest(SimWorld::read(host(), path, block)) != part.blocks[block]) return false;
    }
    return true;
  }
  void remove_file(const std::string& path) {
    if (!host().files.contains(path)) return;
    if (SimWorld::in_use(host(), path)) SimWorld::violation("removed under a running guest: " + path);
    host().free += {host().files.at(path).blocks.size() * model::block_size};
    host().files.erase(path);
  }
  void erase(const model::ShadowId& id, bool adopted_too) {
    const auto it = host().shadows.find(id);
    if (it == host().shadows.end()) return;
    for (const auto& [number, point] : it->second.points) {
      for (const std::string& layer : point.info.layers) {
        if (adopted_too || layer.find("/point-") != std::string::npos) remove_file(layer);
      }
    }
    host().shadows.erase(it);
  }
  void merge_oldest(std::map<model::PointNumber, SimPoint>& points) {
    const auto oldest = points.begin();
    SimPoint& next = std::next(oldest)->second;
    for (std::size_t i = 0; i < next.info.layers.size(); ++i) {
      const std::string from = next.info.layers[i];
      const std::string into = oldest->second.info.layers[i];
      if (SimWorld::in_use(host(), from)) SimWorld::violation("merged under a running guest: " + from);
      for (const auto& [block, number] : host().files.at(from).blocks) host().files.at(into).blocks[block] = number;
      for (auto& [path, file] : host().files) {
        if (file.backing == from) file.backing = into;
      }
      host().files.erase(from);
      next.info.layers[i] = into;
    }
    points.erase(oldest);
  }

  SimWorld& m_world;
  model::HostName m_name;
};

std::set<std::uint64_t> blocks_above(const SimHost& host, const std::string& path, const std::string& above) {
  std::set<std::uint64_t> blocks;
  for (const std::string& file : SimWorld::chain(host, path)) {
    if (file == above) return blocks;
    for (const auto& [block, number] : host.files.at(file).blocks) blocks.insert(block);
  }
  throw Error(Kind::not_found, above + " is not in the chain of " + path);
}

}  // namespace

std::unique_ptr<ports::PointStore> SimTransport::connect(const model::HostName& host) {
  return m_world.call("connect " + host.get(), [&]() -> std::unique_ptr<ports::PointStore> {
    if (!m_world.host(host).reachable) throw Error(Kind::unreachable, host.get() + " does not answer");
    return std::make_unique<SimPoints>(m_world, host);
  });
}

std::unique_ptr<ports::BlockSource> SimTransport::open(const ports::NbdExport&) {
  throw Error(Kind::unsupported, "the simulated hypervisor has no backup jobs");
}

std::unique_ptr<ports::BlockSource> SimTransport::open(const model::HostName& name, const ports::FileExport& file) {
  return m_world.call("open file", [&]() -> std::unique_ptr<ports::BlockSource> {
    const SimHost& host = m_world.host(name);
    if (!host.files.contains(file.path)) throw Error(Kind::not_found, "no file " + file.path);
    const SimFile& found = host.files.at(file.path);
    std::optional<std::set<std::uint64_t>> changed;
    if (file.bitmap) {
      const auto bitmap = found.bitmaps.find(*file.bitmap);
      if (bitmap == found.bitmaps.end()) throw Error(Kind::not_found, "no bitmap " + *file.bitmap);
      changed = bitmap->second;
    }
    if (file.above) changed = blocks_above(host, file.path, *file.above);
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t block = 0; block < model::blocks_in(found.size); ++block) {
      blocks.push_back(SimWorld::read(host, file.path, block));
    }
    return std::make_unique<SimSource>(m_world, found.size, std::move(blocks), std::move(changed));
  });
}

namespace {

/// It outlives who wanted it, as long as there is something to watch.
class SimGuard : public ports::MoveGuard {
 public:
  explicit SimGuard(SimWorld& world) : m_world(world) {}
  void let_be() override {
    m_world.call("guard lets be", [&] { m_world.guarded = false; });
  }

 private:
  SimWorld& m_world;
};

}  // namespace

std::unique_ptr<ports::MoveGuard> SimTransport::guard_move(const model::HostName& host, const model::Uuid&,
                                                           const std::vector<std::string>&) {
  return m_world.call("guard " + host.get(), [&]() -> std::unique_ptr<ports::MoveGuard> {
    if (!m_world.host(host).reachable) throw Error(Kind::unreachable, host.get() + " does not answer");
    m_world.guarded = true;
    m_world.held = false;
    return std::make_unique<SimGuard>(m_world);
  });
}

bool SimTransport::end_guard(const model::HostName& host, const model::Uuid&) {
  return m_world.call("end guard " + host.get(), [&] {
    if (!m_world.host(host).reachable) throw Error(Kind::unreachable, host.get() + " does not answer");
    m_world.guarded = false;
    return m_world.held;
  });
}

}  // namespace umbra::fakes
