// SPDX-License-Identifier: Apache-2.0
// Merging a into b, the next point, disk by disk; A and B are their files. At every instant b and all newer points read
// the same, so it can be cut anywhere and begun again:
//   1. a/point.json is renamed to merging.json. From here on a is no point, and the merge goes forward alone.
//   2. B is committed into A. What B holds hides what changes in A; when it is done A equals b, which is read back.
//   3. Layers over B are put over A, which is equal: their headers alone change.
//   4. b/point.json names A, and the points over it note their layers' new times.
//   5. Files that no point's chain needs are removed, B among them; then merging.json.

#include "adapters/nbd/merge.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "ports/delta.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

std::vector<fs::path> folders(const ShadowFolder& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.is_directory() && entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Every file that a point's disks are read from.
std::set<fs::path> files_of_points(const ShadowFolder& folder) {
  std::set<fs::path> files;
  for (const StoredPoint& point : folder.points()) {
    for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
      if (point.info.parts[i].is_memory()) continue;
      for (const qemu_img::Info& file : qemu_img::chain(point.info.layers.at(i)))
        files.insert(fs::canonical(file.file));
    }
  }
  return files;
}

/// A top that a point stands on, as where someone's own snapshot was put over it before it was adopted, is part of that
/// point, and changes no more.
void refuse_under_a_top(const ShadowFolder& folder) {
  const std::vector<fs::path> tops = folder.tops();
  if (tops.empty()) return;
  const std::set<fs::path> settled = files_of_points(folder);
  const auto live =
      std::ranges::find_if(tops, [&](const fs::path& top) { return !settled.contains(fs::canonical(top)); });
  if (live == tops.end()) return;
  throw Error(
      Kind::refused,
      fmt::format("the points of shadow {} can't be merged: {} stands over them", folder.id().get(), live->string()),
      "run again once the shadow is no longer in use");
}

std::optional<fs::path> layer_of(const StoredPoint& point, const model::DiskName& disk) {
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    if (point.info.parts[i].name == disk) return point.info.layers.at(i);
  }
  return std::nullopt;
}

/// Every file below the newer points that stands directly on `from` is put over `to`.
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

/// Steps 2 and 3 for one disk: the file that holds the merged contents.
fs::path merge_disk(const ShadowFolder& folder, const fs::path& lower, const fs::path& upper,
                    const model::PartManifest& expected, const std::vector<StoredPoint>& newer) {
  if (same_file(lower, upper)) return lower;
  const std::vector<qemu_img::Info> chain = qemu_img::chain(upper);
  const auto found = std::find_if(chain.begin(), chain.end(), [&](const auto& f) { return same_file(f.file, lower); });
  if (found == chain.end())
    return upper;  // a point of its own, such as an adopted file: nothing of the older one is needed
  qemu_img::commit(upper, lower);
  qemu_img::shrink(lower,
                   chain.front().size);  // what lay past the end of B must not show where a newer layer is longer
  base::sync_fd(base::open_file(lower, 0).get(), lower.string());
  const auto above = static_cast<std::uint32_t>(found - chain.begin());
  if (const model::VerifyReport report = verify_merged(expected, upper, above, lower); !report.sound())
    throw Error(Kind::corrupt,
                fmt::format("{} differs in {} places from what was merged into it; {} still holds it", lower.string(),
                            report.mismatches.size(), upper.string()),
                "check that host's storage");
  rebase_all(folder, newer, expected.part.name, upper, lower);
  return lower;
}

/// Step 5.
void remove_unneeded(const ShadowFolder& folder) {
  const std::set<fs::path> needed = files_of_points(folder);
  for (const std::string_view prefix : {"point-", "top-"}) {
    for (const fs::path& dir : folders(folder, prefix)) {
      for (const auto& entry : fs::directory_iterator(dir)) {
        if (entry.path().extension() == ".qcow2" && !needed.contains(fs::canonical(entry.path())))
          fs::remove(entry.path());
      }
      ::rmdir(dir.c_str());
    }
  }
}

/// A point is given up only for one that is known to be sound.
void require_mergeable(const ShadowFolder& folder, const StoredPoint& next) {
  (void)folder.manifest(next);  // Kind::corrupt where it is damaged
  const model::VerifyReport report = verify_unread(folder, next.info.number);
  if (!report.sound())
    throw Error(
        Kind::corrupt,
        fmt::format("point {} of shadow {} differs from its manifest in {} places: no older one is given up for it",
                    next.info.number.value, folder.id().get(), report.mismatches.size()),
        ports::make_anew(folder.vm()));
}

void finish_merge(const ShadowFolder& folder, const fs::path& given_up) {
  const StoredPoint older = read_point_file(given_up / merging_file);
  std::vector<StoredPoint> newer = folder.points();
  std::erase_if(newer, [&](const StoredPoint& p) { return p.info.number < older.info.number; });
  if (newer.empty())
    throw Error(Kind::corrupt, fmt::format("{} has no newer point to be merged into", given_up.string()));
  StoredPoint next = newer.front();
  newer.erase(newer.begin());
  const model::Manifest manifest = folder.manifest(next);
  for (std::size_t i = 0; i < next.info.parts.size(); ++i) {
    const auto lower = layer_of(older, next.info.parts[i].name);
    if (!lower || next.info.parts[i].is_memory()) continue;
    next.info.layers[i] = merge_disk(folder, *lower, next.info.layers[i], manifest.parts.at(i), newer);
  }
  next.info.read_back = next.info.read_back && older.info.read_back;
  next.parent = {};
  write_point_file(folder.point_dir(next.info.number), folder, next);
  // A layer that was put over another file is as its point has it, with a new time.
  for (const StoredPoint& point : newer) write_point_file(folder.point_dir(point.info.number), folder, point);
  remove_unneeded(folder);
  for (const auto& entry : fs::directory_iterator(given_up)) {
    if (entry.path().extension() != ".qcow2" && entry.path().filename() != merging_file) fs::remove(entry.path());
  }
  fs::remove(given_up / merging_file);
  ::rmdir(given_up.c_str());  // stays where it holds a file that newer points need
  base::sync_dir(folder.path());
}

}  // namespace

unsigned merge_oldest(const ShadowFolder& folder, unsigned keep) {
  unsigned merged = 0;
  const auto merge_into_next = [&](const fs::path& dir) {
    refuse_under_a_top(folder);
    base::with_context(fmt::format("merging {}", dir.string()), [&] { finish_merge(folder, dir); });
    ++merged;
  };
  for (const fs::path& dir : folders(folder, "point-")) {
    if (!fs::exists(dir / merging_file)) continue;
    require_untouched(folder);  // also before a merge that was cut goes on: it notes new times
    merge_into_next(dir);
  }
  for (std::vector<StoredPoint> points = folder.points(); points.size() > std::max(keep, 1u);
       points = folder.points()) {
    refuse_under_a_top(folder);
    require_untouched(folder);
    require_mergeable(folder, points[1]);
    const fs::path dir = folder.point_dir(points.front().info.number);
    if (::rename((dir / point_file).c_str(), (dir / merging_file).c_str()) != 0)
      throw base::from_errno(errno, fmt::format("begin to merge {}", dir.string()));
    base::sync_dir(dir);
    merge_into_next(dir);
  }
  return merged;
}

}  // namespace umbra::nbd
