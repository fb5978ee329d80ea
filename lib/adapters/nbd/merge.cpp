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

#include "adapters/nbd/chains.hpp"
#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/examine.hpp"
#include "adapters/nbd/give_up.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "ports/delta.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

/// A top that a point stands on, as where someone's own snapshot was put over it before it was adopted, is part of that
/// point, and changes no more.
void refuse_under_a_top(const ShadowFolder& folder) {
  const std::vector<fs::path> tops = folder.tops();
  if (tops.empty()) return;
  const std::set<fs::path> settled = files_of(folder, folder.points());
  const auto live =
      std::ranges::find_if(tops, [&](const fs::path& top) { return !settled.contains(fs::canonical(top)); });
  if (live == tops.end()) return;
  throw Error(
      Kind::refused,
      fmt::format("the points of shadow {} can't be merged: {} stands over them", folder.id().get(), live->string()),
      "run again once the shadow is no longer in use; what a lost host left there goes with the shadow: umbra shadow "
      "VM --drop");
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
  if (const model::VerifyReport report = verify_merged(expected, upper, above, lower, folder.cancel()); !report.sound())
    throw Error(Kind::corrupt,
                fmt::format("{} differs in {} places from what was merged into it; {} still holds it", lower.string(),
                            report.places, upper.string()),
                "check that host's storage");
  rebase_all(folder, newer, expected.part.name, upper, lower);
  return lower;
}

/// A point is given up only for one that is known to be sound.
void require_mergeable(const ShadowFolder& folder, const StoredPoint& next) {
  (void)folder.manifest(next);  // Kind::corrupt where it is damaged
  const model::VerifyReport report = check_unread(folder, next.info.number);
  if (report.sound()) return;
  throw Error(Kind::corrupt,
              fmt::format("point {} of shadow {} differs from its manifest: no older one is given up for it: {}",
                          next.info.number.value, folder.id().get(), model::first_of(report)),
              "the next pass repairs the shadow: " + ports::next_pass(folder.id(), folder.vm_for_hints()));
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
  remove_copy(folder, older.info.number);
  fs::remove(given_up / merging_file);
  ::rmdir(given_up.c_str());  // stays where it holds a file that newer points need
  base::sync_dir(folder.path());
}

}  // namespace

namespace {

std::vector<model::PointInfo> infos_of(const std::vector<StoredPoint>& points) {
  std::vector<model::PointInfo> infos;
  for (const StoredPoint& point : points) infos.push_back(point.info);
  return infos;
}

/// Folders whose merge was cut. One whose note is damaged is no point either: what newer ones need of it stays.
std::vector<fs::path> cut_merges(const ShadowFolder& folder) {
  std::vector<fs::path> cut;
  for (const fs::path& dir : folders(folder, "point-")) {
    if (!fs::exists(dir / merging_file)) continue;
    try {
      read_point_file(dir / merging_file);
      cut.push_back(dir);
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      if (const auto number = point_in(dir.filename().string())) remove_copy(folder, *number);
      fs::rename(dir / merging_file, dir / given_up_file);
    }
  }
  return cut;
}

void merge_into_next(const ShadowFolder& folder, const fs::path& dir) {
  refuse_under_a_top(folder);
  base::with_context(fmt::format("merging {}", dir.string()), [&] { finish_merge(folder, dir); });
}

void merge_first(const ShadowFolder& folder, const std::vector<StoredPoint>& points) {
  refuse_under_a_top(folder);
  require_mergeable(folder, points.at(1));
  const fs::path dir = folder.point_dir(points.front().info.number);
  remove_copy(folder, points.front().info.number);
  if (::rename((dir / point_file).c_str(), (dir / merging_file).c_str()) != 0)
    throw base::from_errno(errno, fmt::format("begin to merge {}", dir.string()));
  base::sync_dir(dir);
  merge_into_next(folder, dir);
}

}  // namespace

unsigned merge_oldest(const ShadowFolder& folder, const ports::Keep& keep) {
  unsigned gone = 0;
  for (bool first = true;; first = false) {
    settle_changed_files(folder);  // also before a merge that was cut goes on: it notes new times
    const std::vector<StoredPoint> points = folder.points();
    if (points.empty() || !points.back().info.sound()) return gone;
    const std::vector<fs::path> cut = first ? cut_merges(folder) : std::vector<fs::path>{};
    const bool surplus = keep.surplus(infos_of(points)) > 0;
    if (std::ranges::any_of(points, [](const StoredPoint& point) { return !point.info.sound(); })) {
      refuse_under_a_top(folder);
      gone += give_up_damaged(folder, surplus || !cut.empty() ? Needed::copied_out : Needed::kept);
    }
    for (const fs::path& dir : cut) {
      merge_into_next(folder, dir);
      ++gone;
    }
    const std::vector<StoredPoint> left = folder.points();
    if (keep.surplus(infos_of(left)) == 0 || !left.front().info.sound() || !left.at(1).info.sound()) return gone;
    merge_first(folder, left);
    ++gone;
  }
}

}  // namespace umbra::nbd
