// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/chains.hpp"

#include <unistd.h>

#include <algorithm>

#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;

bool is_layer(const fs::directory_entry& entry) {
  return entry.path().extension() == ".qcow2";
}

void add_chain(const fs::path& layer, std::set<fs::path>& files) {
  for (const qemu_img::Info& file : qemu_img::chain(layer)) files.insert(fs::canonical(file.file));
}

/// As far as the chain can be followed, and what lies in the point's folder.
void add_damaged(const ShadowFolder& folder, const StoredPoint& point, std::set<fs::path>& files) {
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(folder.point_dir(point.info.number), absent)) {
    if (is_layer(entry)) files.insert(fs::canonical(entry.path()));
  }
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    if (point.info.parts[i].is_memory()) continue;
    try {
      add_chain(point.info.layers.at(i), files);
    } catch (const base::Error& e) {
      if (!is_damage(e)) throw;
      if (fs::exists(point.info.layers[i])) files.insert(fs::canonical(point.info.layers[i]));
    }
  }
}

}  // namespace

std::vector<fs::path> folders(const ShadowFolder& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.is_directory() && entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::set<fs::path> files_of(const ShadowFolder& folder, const std::vector<StoredPoint>& points) {
  std::set<fs::path> files;
  for (const StoredPoint& point : points) {
    if (!point.info.sound()) {
      add_damaged(folder, point, files);
      continue;
    }
    for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
      if (!point.info.parts[i].is_memory()) add_chain(point.info.layers.at(i), files);
    }
  }
  return files;
}

std::optional<fs::path> layer_of(const StoredPoint& point, const model::DiskName& disk) {
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    if (point.info.parts[i].name == disk) return point.info.layers.at(i);
  }
  return std::nullopt;
}

void rebase_all(const ShadowFolder& folder, const std::vector<StoredPoint>& newer, const model::DiskName& disk,
                const fs::path& from, const fs::path& to) {
  for (const StoredPoint& point : newer) {
    const auto layer = layer_of(point, disk);
    if (!layer) continue;
    for (const qemu_img::Info& file : qemu_img::chain(*layer)) {
      if (file.backing.empty() || !same_file(file.backing, from)) continue;
      const fs::path dir = fs::path(file.file).parent_path();
      const bool within = folder.holds(to) && folder.holds(file.file);
      qemu_img::rebase(file.file, within ? to.lexically_relative(dir).string() : to.string(), "qcow2");
      base::sync_fd(base::open_file(file.file, 0).get(), file.file);
    }
  }
}

void remove_unneeded(const ShadowFolder& folder) {
  const std::vector<StoredPoint> points = folder.points();
  if (!std::ranges::all_of(points, &StoredPoint::readable)) return;  // what such a point stands on is not known
  const std::set<fs::path> needed = files_of(folder, points);
  for (const std::string_view prefix : {"point-", "top-"}) {
    for (const fs::path& dir : folders(folder, prefix)) {
      const bool given_up = prefix == "point-" && !fs::exists(dir / point_file) && !fs::exists(dir / merging_file);
      for (const auto& entry : fs::directory_iterator(dir)) {
        if (entry.path().filename() == given_up_file) continue;
        if (is_layer(entry) ? !needed.contains(fs::canonical(entry.path())) : given_up) fs::remove(entry.path());
      }
      if (given_up) fs::remove(dir / given_up_file);  // last: it says that what else is here is no lost point
      ::rmdir(dir.c_str());                           // stays where it holds a file that newer points need
    }
  }
}

}  // namespace umbra::nbd
