// SPDX-License-Identifier: Apache-2.0
#include "fakes/memory_points.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.hpp"

namespace umbra::fakes {
namespace {

using base::Error;
using base::Kind;
using Paths = std::map<model::DiskName, std::string>;

/// Writes into a copy of the parent; the host sees nothing before commit().
class MemorySink : public ports::BlockSink {
 public:
  MemorySink(MemoryHost& host, CallHook hook, MemoryPoint point, model::PointHeader header)
      : m_host(host), m_hook(std::move(hook)), m_point(std::move(point)), m_header(std::move(header)) {
    ++m_host.open_sinks;
  }
  MemorySink(const MemorySink&) = delete;
  MemorySink& operator=(const MemorySink&) = delete;
  ~MemorySink() override { --m_host.open_sinks; }

  void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
            std::span<const std::byte> data) override {
    call("sink.data");
    rises(part, block);
    if (base::sha256(data) != digest)
      throw Error(Kind::corrupt, fmt::format("block {} differs from its digest", block));
    image(part).set_block(block, data);
    m_changes.data(part, block, digest);
    m_sent.value += data.size();
  }

  void zero(std::size_t part, std::uint64_t first_block, std::uint64_t count) override {
    call("sink.zero");
    rises(part, first_block + count - 1);
    image(part).zero_blocks(first_block, count);
    m_changes.zero(part, first_block, count);
  }

  model::PointInfo commit(const base::Digest& changes) override {
    call("sink.commit");
    if (m_changes.finish() != changes) throw Error(Kind::corrupt, "the changes differ from what was told");
    for (const model::Part& part : m_header.parts)
      m_point.manifest.parts.push_back(m_point.parts.at(part.name).manifest(part.name));
    m_point.info.root = model::root_of(m_point.manifest);
    m_point.info.bytes = m_sent;
    m_host.shadows.at(m_header.shadow).points[m_header.number.value] = m_point;
    call("sink.commit-answer");
    return m_point.info;
  }

  model::ByteCount sent() const override { return m_sent; }

 private:
  void call(const std::string& name) const {
    if (m_hook) m_hook(name);
  }
  MemoryImage& image(std::size_t part) { return m_point.parts.at(m_header.parts.at(part).name); }
  void rises(std::size_t part, std::uint64_t last) {
    const auto it = m_last.find(part);
    if (it != m_last.end() && last <= it->second) throw Error(Kind::internal, "blocks must rise");
    m_last[part] = last;
  }

  MemoryHost& m_host;
  CallHook m_hook;
  MemoryPoint m_point;
  model::PointHeader m_header;
  ports::ChangeDigest m_changes;
  model::ByteCount m_sent;
  std::map<std::size_t, std::uint64_t> m_last;
};

/// What the point's images hold.
model::Manifest held_by(const MemoryPoint& point) {
  model::Manifest held;
  for (const model::PartManifest& part : point.manifest.parts)
    held.parts.push_back(point.parts.at(part.part.name).manifest(part.part.name));
  return held;
}

/// Reads it back, and marks it where it differs.
model::VerifyReport check(MemoryPoint& point) {
  model::VerifyReport report;
  if (!point.opens) report.add({point.info.parts.at(0).name, 0, "its file is gone"});
  const model::Manifest held = point.opens ? held_by(point) : model::Manifest{};
  for (std::size_t i = 0; i < held.parts.size(); ++i) {
    const model::PartManifest& expected = point.manifest.parts.at(i);
    report.blocks_read += held.parts[i].blocks.size();
    for (std::size_t block = 0; block < expected.blocks.size(); ++block) {
      if (expected.blocks[block] != held.parts[i].blocks[block])
        report.add({expected.part.name, block * model::block_size, "another digest"});
    }
  }
  point.info.read_back = report.sound();
  point.info.damaged = report.sound() ? "" : model::first_of(report);
  return report;
}

std::string point_folder(model::PointNumber number) {
  return fmt::format("point-{:06}", number.value);
}

}  // namespace

void MemoryPoints::call(const std::string& name) const {
  if (m_hook) m_hook(name);
}

MemoryShadow& MemoryPoints::shadow_of(const model::ShadowId& id) {
  const auto it = m_host.shadows.find(id);
  if (it == m_host.shadows.end()) throw Error(Kind::not_found, fmt::format("no shadow {}", id.get()));
  return it->second;
}

MemoryPoint& MemoryPoints::point_of(const model::ShadowId& id, model::PointNumber number) {
  auto& points = shadow_of(id).points;
  const auto it = points.find(number.value);
  if (it == points.end()) throw Error(Kind::not_found, fmt::format("no point {} of {}", number.value, id.get()));
  return it->second;
}

Paths MemoryPoints::paths(const model::ShadowId& id, const std::string& folder) const {
  Paths paths;
  for (const model::Part& disk : m_host.shadows.at(id).disks)
    paths[disk.name] = fmt::format("{}/umbra/{}/{}/{}.qcow2", m_host.images, id.get(), folder, disk.name.get());
  return paths;
}

Paths MemoryPoints::create(const model::ShadowId& id, const model::VmName& vm, const std::vector<model::Part>& disks) {
  call("points.create");
  const auto [it, made] = m_host.shadows.try_emplace(id);
  if (made) {
    it->second.vm = vm;
    it->second.disks = disks;
  }
  if (it->second.vm != vm) throw Error(Kind::refused, "the folder belongs to another VM");
  return paths(id, "empty");
}

Paths MemoryPoints::claim(const model::ShadowId& from, const model::ShadowId& to, const model::VmName& vm,
                          const std::vector<model::Part>& disks) {
  call("points.claim");
  shadow_of(from);
  m_host.shadows.erase(from);
  m_host.shadows[to] = {vm, disks, {}, {}, {}};
  return paths(to, "empty");
}

void MemoryPoints::drop(const model::ShadowId& id) {
  call("points.drop");
  m_host.shadows.erase(id);
}

void MemoryPoints::take_back(const model::ShadowId& id) {
  call("points.take_back");
  const auto it = m_host.shadows.find(id);
  if (it != m_host.shadows.end() && it->second.points.empty()) m_host.shadows.erase(it);
}

void MemoryPoints::drop_with_adopted(const model::ShadowId& id) {
  call("points.drop_with_adopted");
  if (const auto it = m_host.shadows.find(id); it != m_host.shadows.end()) {
    for (const auto& [disk, path] : it->second.adopted) m_host.files.erase(path);
    m_host.shadows.erase(it);
  }
}

std::vector<model::ShadowId> MemoryPoints::shadows() {
  call("points.shadows");
  std::vector<model::ShadowId> ids;
  for (const auto& [id, shadow] : m_host.shadows) ids.push_back(id);
  return ids;
}

std::vector<model::PointInfo> MemoryPoints::points(const model::ShadowId& id) {
  call("points.points");
  std::vector<model::PointInfo> infos;
  if (const auto it = m_host.shadows.find(id); it != m_host.shadows.end()) {
    for (const auto& [number, point] : it->second.points) infos.push_back(point.info);
  }
  return infos;
}

model::Manifest MemoryPoints::manifest(const model::ShadowId& id, model::PointNumber number) {
  call("points.manifest");
  return point_of(id, number).manifest;
}

std::string MemoryPoints::activity(const model::ShadowId& id, model::PointNumber number) {
  call("points.activity");
  return point_of(id, number).activity;
}

/// Reads all there is, as the real one does where it suspects something.
model::Ground MemoryPoints::examine(const model::ShadowId& id) {
  call("points.examine");
  const auto it = m_host.shadows.find(id);
  if (it == m_host.shadows.end()) return {};
  std::vector<model::PointInfo> infos;
  for (auto& [number, point] : it->second.points) {
    check(point);
    infos.push_back(point.info);
  }
  model::Ground ground = model::ground_of(infos);
  for (auto point = it->second.points.rbegin(); point != it->second.points.rend(); ++point) {
    if (point->second.info.sound()) break;
    if (!point->second.opens) continue;
    ground.found = held_by(point->second);
    ground.parent = point->second.info;
    ground.parent->root = model::root_of(*ground.found);
    break;
  }
  return ground;
}

std::unique_ptr<ports::BlockSink> MemoryPoints::begin(const model::PointHeader& header) {
  call("points.begin");
  MemoryShadow& shadow = shadow_of(header.shadow);
  MemoryPoint point;
  point.info = {header.number, {}, header.taken_at, header.parts, {}, {}, header.checkpoint};
  point.activity = header.activity;
  point.parent = header.parent;
  for (const model::Part& part : header.parts) {
    point.info.layers.push_back(fmt::format("{}/umbra/{}/{}/{}", m_host.images, header.shadow.get(),
                                            point_folder(header.number),
                                            part.is_memory() ? part.name.get() : part.name.get() + ".qcow2"));
    MemoryImage image(part.size);
    if (header.parent.value > 0) {
      const MemoryPoint& parent = point_of(header.shadow, header.parent);
      const base::Digest root = parent.info.sound() ? parent.info.root : model::root_of(held_by(parent));
      if (root != header.parent_root) throw Error(Kind::refused, "another parent than was said");
      if (const auto it = parent.parts.find(part.name); it != parent.parts.end()) {
        image = it->second;
        image.resize(part.size);
      }
    }
    point.parts.emplace(part.name, std::move(image));
  }
  if (shadow.points.contains(header.number.value)) throw Error(Kind::refused, "that point is there already");
  return std::make_unique<MemorySink>(m_host, m_hook, std::move(point), header);
}

model::VerifyReport MemoryPoints::verify(const model::ShadowId& id, model::PointNumber number, ports::Verify) {
  call("points.verify");
  return check(shadow_of(id).points.at(number.value));
}

unsigned MemoryPoints::retain(const model::ShadowId& id, const ports::Keep& keep) {
  call("points.retain");
  auto& points = shadow_of(id).points;
  std::vector<model::PointInfo> infos;
  for (const auto& [number, point] : points) infos.push_back(point.info);
  if (infos.empty() || !infos.back().sound()) return 0;
  const std::size_t surplus = keep.surplus(infos);
  points.erase(points.begin(), std::next(points.begin(), static_cast<std::ptrdiff_t>(surplus)));
  return static_cast<unsigned>(surplus);
}

std::vector<std::string> MemoryPoints::export_point(const model::ShadowId& id, model::PointNumber number,
                                                    const std::string& target) {
  call("points.export_point");
  const MemoryPoint& point = point_of(id, number);
  if (!point.info.sound()) throw Error(Kind::refused, "the point is damaged");
  std::vector<std::string> files;
  for (const auto& [disk, image] : point.parts) {
    files.push_back(target + "/" + disk.get() + ".qcow2");
    m_host.files[files.back()] = image;
  }
  return files;
}

Paths MemoryPoints::raise_top(const model::ShadowId& id, model::PointNumber number, const std::string& purpose) {
  call("points.raise_top");
  if (!point_of(id, number).info.sound()) throw Error(Kind::refused, "the point is damaged");
  shadow_of(id).tops[purpose] = number;
  return paths(id, "top-" + purpose);
}

void MemoryPoints::drop_top(const model::ShadowId& id, const std::string& purpose) {
  call("points.drop_top");
  shadow_of(id).tops.erase(purpose);
}

void MemoryPoints::adopt(const ports::AdoptRequest& request) {
  call("points.adopt");
  MemoryShadow& shadow = m_host.shadows[request.shadow];
  shadow.vm = request.vm;
  MemoryPoint point;
  point.manifest = request.manifest;
  point.info = {request.number, model::root_of(request.manifest), request.taken_at, {}, {}, {}, {}};
  shadow.disks.clear();
  for (const model::PartManifest& part : request.manifest.parts) {
    const std::string& layer = request.layers.at(part.part.name);
    point.info.parts.push_back(part.part);
    point.info.layers.push_back(layer);
    point.parts[part.part.name] = m_host.files.at(layer);
    shadow.disks.push_back(part.part);
  }
  shadow.adopted = request.layers;
  shadow.points[request.number.value] = std::move(point);
}

void MemoryPoints::remove_made(const std::string& path) {
  call("points.remove_made");
  if (path.find(".umbra-") == std::string::npos) throw Error(Kind::refused, path + " was not made by Umbra");
  m_host.files.erase(path);
  m_host.chains.erase(path);
  m_host.removed.push_back(path);
}

std::vector<std::string> MemoryPoints::chain(const std::string& path) {
  call("points.chain");
  const auto it = m_host.chains.find(path);
  return it == m_host.chains.end() ? std::vector<std::string>{path} : it->second;
}

model::FileStamp MemoryPoints::stamp(const std::string& path) {
  call("points.stamp");
  if (m_host.hides_files) throw Error(Kind::refused, path + " lies outside of what is served");
  const auto it = m_host.files.find(path);
  if (it == m_host.files.end()) throw Error(Kind::not_found, "no file " + path);
  return {it->second.size().value, it->second.changes()};
}

model::ByteCount MemoryPoints::free_space() {
  call("points.free_space");
  return m_host.free;
}

}  // namespace umbra::fakes
