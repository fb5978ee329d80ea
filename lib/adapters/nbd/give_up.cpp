// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/give_up.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/nbd/chains.hpp"
#include "adapters/nbd/copy_out.hpp"
#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/examine.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;

/// The files that are a damaged point's own.
std::set<fs::path> own_files(const ShadowFolder& folder, const StoredPoint& damaged) {
  std::set<fs::path> files;
  for (const std::string& layer : damaged.info.layers) {
    if (fs::exists(layer)) files.insert(fs::canonical(layer));
  }
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(folder.point_dir(damaged.info.number), absent)) {
    if (entry.path().extension() == ".qcow2") files.insert(fs::canonical(entry.path()));
  }
  return files;
}

bool share(const std::set<fs::path>& a, const std::set<fs::path>& b) {
  return std::ranges::any_of(a, [&](const fs::path& file) { return b.contains(file); });
}

/// The point's disks, each as one file in its own folder; those that stood on its layers stand on these.
void stand_alone(const ShadowFolder& folder, StoredPoint point, const std::vector<StoredPoint>& newer) {
  const fs::path dir = folder.point_dir(point.info.number);
  const model::Manifest manifest = folder.manifest(point);
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    const model::DiskName& disk = point.info.parts[i].name;
    if (point.info.parts[i].is_memory()) continue;
    const fs::path from = point.info.layers.at(i);
    const fs::path making = dir / (".making-" + disk.get() + ".qcow2");
    const fs::path to = dir / (disk.get() + ".qcow2");
    fs::remove(making);
    copy_out(from, manifest.parts.at(i), making, folder.cancel());
    const bool replaces = same_file(from, to);
    fs::rename(making, to);
    base::sync_dir(dir);
    if (!replaces) rebase_all(folder, newer, disk, from, to);
    point.info.layers[i] = to;
  }
  write_point_file(dir, folder, point);
  for (const StoredPoint& other : newer) write_point_file(folder.point_dir(other.info.number), folder, other);
}

void copy_out_what_stands_on(const ShadowFolder& folder, const StoredPoint& damaged) {
  const std::set<fs::path> files = own_files(folder, damaged);
  for (const StoredPoint& point : folder.points()) {
    if (!point.info.sound() || !share(files_of(folder, {point}), files)) continue;
    std::vector<StoredPoint> newer = folder.points();
    std::erase_if(newer, [&](const StoredPoint& p) { return p.info.number <= point.info.number || !p.info.sound(); });
    base::log(
        base::Level::info,
        fmt::format("point {} of shadow {} is copied into files of its own: it stands on point {}, which is damaged",
                    point.info.number.value, folder.id().get(), damaged.info.number.value));
    try {
      stand_alone(folder, point, newer);
    } catch (const base::Error& e) {
      if (e.kind() == base::Kind::corrupt) check_whole(folder, point.info.number);  // it is marked, and repaired
      throw;
    }
  }
}

/// Once its description has another name it is no point.
void give_up(const ShadowFolder& folder, const StoredPoint& damaged) {
  const fs::path dir = folder.point_dir(damaged.info.number);
  remove_copy(folder, damaged.info.number);
  if (fs::exists(dir / point_file))
    fs::rename(dir / point_file, dir / given_up_file);
  else if (fs::exists(dir))
    base::write_file_atomic(dir / given_up_file, "");
  if (fs::exists(dir)) base::sync_dir(dir);
  base::log(base::Level::info, fmt::format("point {} of shadow {}, which is damaged, is given up",
                                           damaged.info.number.value, folder.id().get()));
}

}  // namespace

unsigned give_up_damaged(const ShadowFolder& folder, Needed needed) {
  unsigned gone = 0;
  for (const StoredPoint& damaged : folder.points()) {
    std::vector<StoredPoint> sound = folder.points();
    std::erase_if(sound, [](const StoredPoint& point) { return !point.info.sound(); });
    if (damaged.info.sound() || sound.empty() || sound.back().info.number < damaged.info.number) continue;
    if (share(files_of(folder, sound), own_files(folder, damaged))) {
      if (needed == Needed::kept) continue;
      copy_out_what_stands_on(folder, damaged);
    }
    give_up(folder, damaged);
    ++gone;
  }
  if (gone > 0) remove_unneeded(folder);
  base::sync_dir(folder.path());
  return gone;
}

}  // namespace umbra::nbd
