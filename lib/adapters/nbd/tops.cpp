// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/tops.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/examine.hpp"
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/point_writer.hpp"
#include "adapters/nbd/qcow2_file.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "base/error.hpp"
#include "ports/delta.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;
using Paths = std::map<model::DiskName, std::string>;

struct DiskLayer {
  model::DiskName disk;
  model::ByteCount size;
  fs::path layer;
};

std::vector<DiskLayer> disks_of(const StoredPoint& point) {
  std::vector<DiskLayer> disks;
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    const model::Part& part = point.info.parts[i];
    if (!part.is_memory()) disks.push_back({part.name, part.size, point.info.layers.at(i)});
  }
  return disks;
}

bool stands_on(const fs::path& file, const fs::path& layer) {
  if (!fs::exists(file)) return false;
  const std::string backing = qemu_img::info(file).backing;
  std::error_code absent;
  return !backing.empty() && fs::equivalent(backing, layer, absent);
}

/// The point on whose layers every adopted file stands; 0 where there is none.
model::PointNumber parent_of(const ShadowFolder& folder, const ports::AdoptRequest& request) {
  std::map<model::DiskName, std::vector<qemu_img::Info>> chains;
  for (const auto& [disk, file] : request.layers) chains[disk] = qemu_img::chain(file);
  std::vector<StoredPoint> points = folder.points();
  std::reverse(points.begin(), points.end());
  for (const StoredPoint& point : points) {
    const std::vector<DiskLayer> disks = disks_of(point);
    const bool below_all = std::all_of(disks.begin(), disks.end(), [&](const DiskLayer& d) {
      const auto chain = chains.find(d.disk);
      return chain != chains.end() &&
             std::any_of(chain->second.begin(), chain->second.end(), [&](const qemu_img::Info& f) {
               std::error_code absent;
               return fs::equivalent(f.file, d.layer, absent);
             });
    });
    if (below_all && !disks.empty()) return point.info.number;
  }
  return {};
}

StoredPoint described(const ports::AdoptRequest& request) {
  std::vector<model::Part> parts;
  for (const model::PartManifest& part : request.manifest.parts) parts.push_back(part.part);
  check_parts(parts);
  StoredPoint point;
  point.vm = request.vm;
  point.info.number = request.number;
  point.info.root = model::root_of(request.manifest);
  point.info.taken_at = request.taken_at;
  point.info.read_back = true;  // the manifest is of what passes read from these very files, by their bitmaps
  for (const model::PartManifest& part : request.manifest.parts) {
    const model::DiskName& disk = part.part.name;
    const auto layer = request.layers.find(disk);
    if (layer == request.layers.end()) throw Error(Kind::invalid, fmt::format("no file is given for {}", disk.get()));
    const fs::path file = layer->second;
    if (!file.is_absolute()) throw Error(Kind::invalid, fmt::format("{} is no absolute path", file.string()));
    if (part.blocks.size() != model::blocks_in(part.part.size))
      throw Error(Kind::invalid, fmt::format("the manifest of {} has {} digests", disk.get(), part.blocks.size()));
    const qemu_img::Info info = qemu_img::info(file);
    if (info.format != "qcow2")
      throw Error(Kind::unsupported, fmt::format("{} is {}, not qcow2", file.string(), info.format));
    if (info.size != part.part.size)
      throw Error(Kind::invalid, fmt::format("{} holds {} bytes, its manifest is of {}", file.string(), info.size.value,
                                             part.part.size.value));
    point.info.parts.push_back(part.part);
    point.info.layers.push_back(file.lexically_normal());
  }
  if (point.info.parts.size() != request.layers.size())
    throw Error(Kind::invalid, "files and manifest name other disks");
  return point;
}

}  // namespace

void require_file_unused(const fs::path& file) {
  if (qemu_img::in_use(file))
    throw Error(Kind::busy, fmt::format("{} is in use by a running guest", file.string()),
                fmt::format("see who holds it: fuser -v {}", file.string()));
}

void require_unused(const fs::path& dir) {
  std::error_code absent;
  for (const auto& entry : fs::recursive_directory_iterator(dir, absent)) {
    if (entry.is_regular_file()) require_file_unused(entry.path());
  }
}

void require_sound(const ShadowFolder& folder, const StoredPoint& point) {
  if (point.info.sound()) return;
  std::string hint = "the next pass repairs the shadow: " + ports::next_pass(folder.id(), folder.vm_for_hints());
  std::vector<model::PointInfo> infos;
  for (StoredPoint& other : folder.points()) infos.push_back(std::move(other.info));
  if (const model::PointInfo* sound = model::newest_sound(infos))
    hint = fmt::format("point {} of {} is sound; {}", sound->number.value, base::to_rfc3339(sound->taken_at), hint);
  throw Error(Kind::refused,
              fmt::format("point {} of shadow {} is damaged: {}", point.info.number.value, folder.id().get(),
                          point.info.damaged),
              hint);
}

Paths raise_top(const ShadowFolder& folder, model::PointNumber number, const std::string& purpose) {
  settle_changed_files(folder);
  const StoredPoint point = folder.point(number);
  require_sound(folder, point);
  const std::vector<DiskLayer> disks = disks_of(point);
  const fs::path dir = folder.top_dir(purpose);
  Paths paths;
  for (const DiskLayer& d : disks) paths[d.disk] = dir / (d.disk.get() + ".qcow2");
  if (fs::exists(dir)) {
    const bool same = std::all_of(disks.begin(), disks.end(), [&](const DiskLayer& d) {
      return stands_on(paths[d.disk], d.layer) && !folder.owner_of(paths[d.disk]);
    });
    if (same) return paths;
    throw Error(Kind::refused,
                fmt::format("{} stands over another point than {}, or is a point by now", dir.string(), number.value),
                "drop that layer first, or choose another purpose");
  }
  const fs::path making = folder.path() / ".making-top";
  fs::create_directory(making);
  for (const DiskLayer& d : disks) {
    const fs::path file = making / (d.disk.get() + ".qcow2");
    qcow2::create(file, d.size, folder.holds(d.layer) ? d.layer.lexically_relative(dir).string() : d.layer.string());
    base::sync_fd(base::open_file(file, 0).get(), file.string());
  }
  base::sync_dir(making);
  if (::rename(making.c_str(), dir.c_str()) != 0) throw base::from_errno(errno, fmt::format("make {}", dir.string()));
  base::sync_dir(folder.path());
  return paths;
}

void drop_top(const ShadowFolder& folder, const std::string& purpose) {
  const fs::path dir = folder.top_dir(purpose);
  if (!fs::exists(dir)) return;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (const auto owner = folder.owner_of(entry.path()))
      throw Error(Kind::refused, fmt::format("{} is a layer of point {}", entry.path().string(), owner->value));
  }
  require_unused(dir);
  fs::remove_all(dir);
  base::sync_dir(folder.path());
}

void adopt_layers(const ShadowFolder& folder, const ports::AdoptRequest& request) {
  StoredPoint point = described(request);
  if (const std::vector<StoredPoint> points = folder.points(); !points.empty()) {
    const model::PointInfo& newest = points.back().info;
    if (newest.number == request.number && newest.root == point.info.root && newest.layers == point.info.layers) return;
  }
  if (const model::PointNumber last = folder.last_number(); last >= request.number)
    throw Error(Kind::refused, fmt::format("point {} can't follow point {} of shadow {}", request.number.value,
                                           last.value, folder.id().get()));
  point.parent = parent_of(folder, request);
  settle_changed_files(folder);
  const bool on_damage = point.parent.value != 0 && !folder.point(point.parent).info.sound();
  for (const std::string& layer : point.info.layers) {
    require_file_unused(layer);
    // A point's layer never changes again: bitmaps that would follow changes are of no use.
    for (const qemu_img::Bitmap& bitmap : qemu_img::info(layer).bitmaps) qemu_img::remove_bitmap(layer, bitmap.name);
    base::sync_fd(base::open_file(layer, 0).get(), layer);
  }
  const fs::path incoming = folder.incoming_dir(request.number);
  fs::remove_all(incoming);  // of a cut pass to this number
  fs::create_directory(incoming);
  for (const model::PartManifest& part : request.manifest.parts)
    write_manifest_file(incoming / (part.part.name.get() + ".digests"), part);
  write_point_file(incoming, folder, point);
  const fs::path final_dir = folder.point_dir(request.number);
  if (::rename(incoming.c_str(), final_dir.c_str()) != 0)
    throw base::from_errno(errno, fmt::format("commit {}", final_dir.string()));
  base::sync_dir(folder.path());
  write_copy(folder, request.number);
  if (on_damage) check_whole(folder, request.number);  // it may show the damage: then it is marked, and repaired
}

}  // namespace umbra::nbd
