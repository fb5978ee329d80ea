// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/examine.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <set>

#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/manifest_file.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/verify.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using model::VerifyReport;

std::vector<StoredPoint> sound_points(const ShadowFolder& folder) {
  std::vector<StoredPoint> points = folder.points();
  std::erase_if(points, [](const StoredPoint& point) { return !point.info.sound(); });
  return points;
}

void mark(const ShadowFolder& folder, const StoredPoint& point, const VerifyReport& report,
          const std::string& remark = {}) {
  mark_damaged(folder, point.info.number, model::first_of(report) + remark);
}

/// Every other sound point that shows the same is marked too.
void spread(const ShadowFolder& folder, model::PointNumber from, const Blocks& blocks) {
  for (const StoredPoint& point : sound_points(folder)) {
    if (point.info.number == from) continue;
    const VerifyReport same = verify_blocks(folder, point, blocks).report;
    if (!same.sound()) mark(folder, point, same, fmt::format(", as found at point {}", from.value));
  }
}

std::optional<fs::path> changed_layer(const StoredPoint& point) {
  for (std::size_t i = 0; i < point.info.layers.size(); ++i) {
    if (point.stamps.at(i) && stamp_of(point.info.layers[i]) != point.stamps[i]) return point.info.layers[i];
  }
  return std::nullopt;
}

/// Whether the layer came by a pass, so that nothing but damage can have changed it. What a VM ran on before, a guest
/// that is started by hand runs on again.
bool is_made_by_passes(const ShadowFolder& folder, const fs::path& layer) {
  return folder.holds(layer) && layer.parent_path().filename().string().starts_with("point-");
}

Error written_by_a_guest(const ShadowFolder& folder, const StoredPoint& point, const fs::path& layer,
                         const VerifyReport& report) {
  return Error(
      base::Kind::corrupt,
      fmt::format("{} was written to after it had become a layer of point {} of shadow {}: {} blocks differ from its "
                  "manifest, the first: {}",
                  layer.string(), point.info.number.value, folder.id().get(), report.places, model::first_of(report)),
      fmt::format("if {0} was started from it by hand, save what it wrote; then make the shadow anew: umbra switchover "
                  "{0} --decommission where {0} ran there before, else umbra shadow {0} --drop",
                  base::shell_word(folder.vm_for_hints())));
}

/// Of a point whose layer has another size or time than it had. All that the point shows is read: where metadata are
/// damaged, what the layer says that it holds says nothing.
void settle_changed(const ShadowFolder& folder, const StoredPoint& point, const fs::path& changed) {
  const Differences found = verify_whole(folder, point);
  if (found.sound()) {
    base::log(base::Level::info, fmt::format("{} has another time than when point {} was committed, its contents are "
                                             "the same",
                                             changed.string(), point.info.number.value));
    return write_point_file(folder.point_dir(point.info.number), folder, point);
  }
  if (fs::exists(changed) && !is_made_by_passes(folder, changed))
    throw written_by_a_guest(folder, point, changed, found.report);
  const std::string remark = fs::exists(changed)
                                 ? fmt::format("; {} was written to after it had become the point's", changed.string())
                                 : fmt::format("; {} is gone", changed.string());
  mark(folder, point, found.report, remark);
  spread(folder, point.info.number, found.blocks);
}

/// Blocks that were read.
std::uint64_t settle_unread(const ShadowFolder& folder, StoredPoint point) {
  const Differences found = verify_own(folder, point);
  if (found.sound()) {
    point.info.read_back = true;
    write_point_file(folder.point_dir(point.info.number), folder, point);
  } else {
    mark(folder, point, found.report);
    spread(folder, point.info.number, found.blocks);
  }
  return found.report.blocks_read;
}

/// A damaged layer that changed once more: what stands on it was compared with what it held before.
void settle_above_damaged(const ShadowFolder& folder) {
  for (const StoredPoint& damaged : folder.points()) {
    if (damaged.info.sound() || !changed_since_found(folder, damaged)) continue;
    note_files(folder, damaged);
    for (const StoredPoint& point : sound_points(folder)) {
      if (point.info.number < damaged.info.number) continue;
      const VerifyReport report = verify_whole(folder, point).report;
      if (!report.sound()) mark(folder, point, report);
    }
  }
}

/// The files below are opened as what the one above says that they are; the first one as what it looks like.
void require_image(const fs::path& layer, model::ByteCount size) {
  const qemu_img::Info first = qemu_img::chain(layer).front();
  if (first.format != "qcow2" || first.size != size)
    throw Error(base::Kind::corrupt, fmt::format("{} is {} of {} bytes, not qcow2 of {}", layer.string(), first.format,
                                                 first.size.value, size.value));
}

/// Whether every file of the disks' chains is there and is an image, as far as their headers tell, and the manifests
/// are whole.
VerifyReport look_at_files(const ShadowFolder& folder, const StoredPoint& point) {
  VerifyReport report = verify_blocks(folder, point, {}).report;  // reads the manifests alone
  for (std::size_t i = 0; report.sound() && i < point.info.parts.size(); ++i) {
    const fs::path& layer = point.info.layers[i];
    try {
      if (!point.info.parts[i].is_memory())
        require_image(layer, point.info.parts[i].size);
      else if (!fs::exists(layer))
        throw Error(base::Kind::not_found, fmt::format("{} is gone", layer.string()));
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      report.add({point.info.parts[i].name, {}, e.message()});
    }
  }
  return report;
}

/// Whether the manifests are there, in full length. What they say is read when it is needed.
VerifyReport look_for_manifests(const ShadowFolder& folder, const StoredPoint& point) {
  VerifyReport report;
  for (const model::Part& part : point.info.parts) {
    const fs::path file = folder.digests_file(point.info.number, part.name);
    try {
      look_at_manifest_file(file, part);
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      report.add(of_manifest(part, file, e));
    }
  }
  return report;
}

/// Marks what does not open, from the newest down to the first that does; that one's files are those of the older ones.
void settle_files(const ShadowFolder& folder) {
  std::vector<StoredPoint> points = sound_points(folder);
  std::reverse(points.begin(), points.end());
  bool opens = false;
  for (const StoredPoint& point : points) {
    VerifyReport report = look_for_manifests(folder, point);
    if (report.sound() && !opens) report = look_at_files(folder, point);
    opens = opens || report.sound();
    if (!report.sound()) mark(folder, point, report);
  }
}

/// Where what was found differs from the manifest, other points that show the same are marked.
void spread_found(const ShadowFolder& folder, const Found& found) {
  Blocks differences;
  for (const model::PartManifest& part : found.manifest.parts) {
    model::PartManifest expected;
    try {
      expected =
          read_manifest_file(folder.digests_file(found.point.info.number, part.part.name), part.part, folder.cancel());
    } catch (const Error& e) {
      if (!is_damage(e)) throw;
      continue;  // the mark tells of the manifest
    }
    const auto& blocks = part.blocks;
    for (std::uint64_t block = blocks.next_difference(expected.blocks, 0); block < blocks.size();
         block = blocks.next_difference(expected.blocks, block + 1))
      differences.try_emplace(part.part.name, part.part.size)
          .first->second.mark_block(block, ports::BlockMap::State::data);
  }
  if (!differences.empty()) spread(folder, found.point.info.number, differences);
}

/// What the point really holds: of all its disks, or, where `any` will do, of those that open. Other points that show
/// the same differences are marked.
std::optional<Found> find(const ShadowFolder& folder, const StoredPoint& point, bool any) {
  if (auto known = read_found(folder, point)) return known;
  if (!point.readable) return std::nullopt;
  Found found{point, {}};
  found.point.info.parts.clear();
  found.point.info.layers.clear();
  found.point.stamps.clear();
  std::size_t disks = 0;
  for (std::size_t i = 0; i < point.info.parts.size(); ++i) {
    const model::Part& part = point.info.parts[i];
    auto held = read_part(part, point.info.layers[i], folder.cancel());
    if (!held && !part.is_memory() && !any) return std::nullopt;
    if (!held) continue;
    disks += part.is_memory() ? 0 : 1;
    found.manifest.parts.push_back(std::move(*held));
    found.point.info.parts.push_back(part);
    found.point.info.layers.push_back(point.info.layers[i]);
    found.point.stamps.push_back(point.stamps[i]);
  }
  if (disks == 0) return std::nullopt;
  found.point.info.root = model::root_of(found.manifest);
  write_found(folder, found);
  spread_found(folder, found);
  return found;
}

/// The newest point that can be built on, from the newest down to the first sound one.
std::optional<Found> damaged_ground(const ShadowFolder& folder, const std::vector<StoredPoint>& points, bool any) {
  for (auto point = points.rbegin(); point != points.rend() && !point->info.sound(); ++point) {
    if (auto found = find(folder, *point, any)) return found;
  }
  return std::nullopt;
}

}  // namespace

void settle_changed_files(const ShadowFolder& folder) {
  restore_descriptions(folder);
  for (const StoredPoint& point : sound_points(folder)) {
    if (const auto changed = changed_layer(point)) settle_changed(folder, point, *changed);
  }
  settle_above_damaged(folder);
}

model::Ground examine_points(const ShadowFolder& folder) {
  settle_changed_files(folder);
  for (const StoredPoint& point : sound_points(folder)) {
    if (!point.info.read_back) settle_unread(folder, point);
  }
  settle_files(folder);

  std::optional<Found> found = damaged_ground(folder, folder.points(), false);
  const std::vector<StoredPoint> points = folder.points();  // with the marks of just now
  std::vector<model::PointInfo> infos;
  for (const StoredPoint& point : points) infos.push_back(point.info);
  model::Ground ground = model::ground_of(infos);
  ground.last = folder.last_number();
  if (!found && !ground.parent) found = damaged_ground(folder, points, true);
  if (!found) return ground;
  ground.parent = found->point.info;
  ground.found = std::move(found->manifest);
  return ground;
}

VerifyReport check_unread(const ShadowFolder& folder, model::PointNumber number) {
  std::uint64_t read = 0;
  for (const StoredPoint& point : sound_points(folder)) {
    if (!point.info.read_back && point.info.number <= number) read += settle_unread(folder, point);
  }
  if (!folder.point(number).info.sound()) return check_whole(folder, number);
  VerifyReport report;
  report.blocks_read = read;
  return report;
}

VerifyReport check_whole(const ShadowFolder& folder, model::PointNumber number) {
  const StoredPoint point = folder.point(number);
  Differences found = verify_whole(folder, point);
  if (!found.sound()) {
    if (point.readable && !point.is_copy) mark(folder, point, found.report);
    spread(folder, number, found.blocks);
  } else if (!point.info.sound()) {
    clear_damage(folder, number);
    write_point_file(folder.point_dir(number), folder, folder.point(number));
  }
  return std::move(found.report);
}

namespace {

/// So many of the blocks that hold data.
Blocks random_blocks(const ShadowFolder& folder, const StoredPoint& point, std::mt19937_64& random) {
  model::Manifest manifest;
  try {
    manifest = folder.manifest(point);
  } catch (const Error& e) {
    if (!is_damage(e)) throw;  // else whoever compares tells of it
  }
  std::uint64_t held = 0;
  for (const model::PartManifest& part : manifest.parts) held += part.blocks.held();
  std::set<std::uint64_t> chosen;  // among those that hold data, over all parts
  while (chosen.size() < std::min<std::uint64_t>(held, ports::sample_blocks))
    chosen.insert(std::uniform_int_distribution<std::uint64_t>(0, held - 1)(random));
  Blocks blocks;
  std::uint64_t before = 0;  // in the parts before
  for (const model::PartManifest& part : manifest.parts) {
    std::vector<std::uint64_t> here;
    for (const std::uint64_t one : chosen) {
      if (one >= before && one - before < part.blocks.held()) here.push_back(one - before);
    }
    ports::BlockMap& wanted = blocks.try_emplace(part.part.name, part.part.size).first->second;
    for (const std::uint64_t block : part.blocks.places_of(here))
      wanted.mark_block(block, ports::BlockMap::State::data);
    before += part.blocks.held();
  }
  return blocks;
}

}  // namespace

VerifyReport check_sample(const ShadowFolder& folder, model::PointNumber number) {
  std::mt19937_64 random(std::random_device{}());
  const std::vector<StoredPoint> points = sound_points(folder);
  std::vector<StoredPoint> chosen;
  std::vector<StoredPoint> older;
  for (const StoredPoint& point : points) {
    if (point.info.number == number) chosen.push_back(point);
    if (point.info.number < number) older.push_back(point);
  }
  std::ranges::sample(older, std::back_inserter(chosen), 1, random);
  VerifyReport shown;
  for (const StoredPoint& point : chosen) {
    const Differences found = verify_blocks(folder, point, random_blocks(folder, point, random));
    shown.blocks_read += found.report.blocks_read;
    if (found.sound()) continue;
    mark(folder, point, found.report);
    spread(folder, point.info.number, found.blocks);
  }
  return folder.point(number).info.sound() ? shown : check_whole(folder, number);
}

}  // namespace umbra::nbd
