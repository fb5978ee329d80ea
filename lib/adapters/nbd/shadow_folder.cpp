// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/shadow_folder.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "adapters/nbd/descriptions.hpp"
#include "adapters/nbd/manifest_file.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "ports/delta.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::Kind;

constexpr std::string_view point_prefix = "point-";
constexpr std::string_view incoming_prefix = "incoming-";
constexpr std::string_view top_prefix = "top-";

std::optional<model::PointNumber> numbered(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  model::PointNumber number;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number.value);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::vector<fs::path> entries(const fs::path& dir) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) found.push_back(entry.path());
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    throw fs::filesystem_error("cannot read the folder", dir, error);
  std::sort(found.begin(), found.end());
  return found;
}

/// The point in a folder; one whose description can't be read is damaged. Nothing where there is none any more.
std::optional<StoredPoint> described(const ShadowFolder& folder, model::PointNumber number) {
  const fs::path dir = folder.point_dir(number);
  try {
    StoredPoint point = read_point_file(dir / point_file);
    if (point.info.number != number)
      throw Error(Kind::corrupt, fmt::format("{} gives another number than its folder", (dir / point_file).string()));
    point.info.damaged = damage_told_in(dir);
    return point;
  } catch (const Error& e) {
    if (e.kind() == Kind::not_found) return std::nullopt;
    if (e.kind() != Kind::corrupt && e.kind() != Kind::invalid && e.kind() != Kind::io) throw;
    return from_copy(folder, number, e.what());
  }
}

/// Points of before that have no description where it should be. A reader takes no lock: what it did not see in
/// `seen` may have come, or gone, meanwhile.
std::vector<StoredPoint> lost_points(const ShadowFolder& folder, const std::set<model::PointNumber>& seen,
                                     const std::set<model::PointNumber>& folders) {
  std::set<model::PointNumber> all = copies_in(folder);
  all.insert(folders.begin(), folders.end());
  std::vector<StoredPoint> lost;
  for (const model::PointNumber number : all) {
    const fs::path dir = folder.point_dir(number);
    if (seen.contains(number) || fs::exists(dir / point_file) || fs::exists(dir / merging_file)) continue;
    const bool has_folder = fs::exists(dir);
    if (!copies_in(folder).contains(number) && !has_lost_description(dir)) continue;
    lost.push_back(from_copy(folder, number,
                             has_folder ? fmt::format("{} is gone", (dir / point_file).string())
                                        : fmt::format("its folder {} is gone", dir.string())));
  }
  return lost;
}

}  // namespace

void check_name(const std::string& text, std::string_view what) {
  const bool sound =
      !text.empty() && text.size() <= 128 && text[0] != '.' &&
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 32 && c != 127 && c != '/'; });
  if (!sound)
    throw Error(Kind::invalid, fmt::format("\"{}\" can't be {}", text, what),
                "use 1 to 128 characters without slashes and without a dot at the start");
}

std::optional<FolderLock> FolderLock::of_opened(base::UniqueFd opened, const fs::path& folder) {
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw base::from_errno(errno, fmt::format("lock {}", folder.string()));
    throw Error(Kind::busy, fmt::format("another run writes to the shadow in {}", folder.string()),
                fmt::format("wait for it, or look who it is: fuser -v {}", folder.string()));
  }
  struct stat locked {};
  struct stat named {};
  if (::fstat(opened.get(), &locked) != 0) throw base::from_errno(errno, fmt::format("look at {}", folder.string()));
  const bool same =
      ::stat(folder.c_str(), &named) == 0 && named.st_dev == locked.st_dev && named.st_ino == locked.st_ino;
  if (!same) return std::nullopt;  // it was renamed, or dropped, between the two
  return FolderLock(std::move(opened));
}

FolderLock::FolderLock(const fs::path& folder) {
  for (;;) {
    auto lock = of_opened(base::open_file(folder, O_RDONLY | O_DIRECTORY), folder);
    if (!lock) continue;
    m_fd = std::move(lock->m_fd);
    return;
  }
}

ShadowFolder::ShadowFolder(const fs::path& root, const model::ShadowId& shadow, const base::CancelToken* cancel)
    : m_path(root / shadow.get()), m_id(shadow), m_cancel(cancel) {
  check_name(shadow.get(), "a shadow's id");
}

bool ShadowFolder::exists() const {
  return fs::exists(m_path / shadow_file);
}

void ShadowFolder::require() const {
  if (!exists())
    throw Error(Kind::not_found, fmt::format("no shadow {} in {}", m_id.get(), m_path.parent_path().string()),
                "make it first: umbra shadow VM --on HOST");
}

fs::path ShadowFolder::empty_layer(const model::DiskName& disk) const {
  check_name(disk.get(), "a disk's name");
  return m_path / "empty" / (disk.get() + ".qcow2");
}

fs::path ShadowFolder::point_dir(model::PointNumber point) const {
  return m_path / fmt::format("{}{:06}", point_prefix, point.value);
}

fs::path ShadowFolder::incoming_dir(model::PointNumber point) const {
  return m_path / fmt::format("{}{:06}", incoming_prefix, point.value);
}

fs::path ShadowFolder::top_dir(const std::string& purpose) const {
  check_name(purpose, "a purpose");
  return m_path / (std::string(top_prefix) + purpose);
}

fs::path ShadowFolder::digests_file(model::PointNumber point, const model::DiskName& part) const {
  return point_dir(point) / (part.get() + ".digests");
}

std::vector<StoredPoint> ShadowFolder::points() const {
  std::vector<StoredPoint> found;
  std::set<model::PointNumber> seen;
  std::set<model::PointNumber> others;
  for (const fs::path& dir : entries(m_path)) {
    const auto number = point_in(dir.filename().string());
    if (!number) continue;
    auto point = fs::exists(dir / point_file) ? described(*this, *number) : std::nullopt;
    (point ? seen : others).insert(*number);
    if (point) found.push_back(std::move(*point));
  }
  for (StoredPoint& point : lost_points(*this, seen, others)) found.push_back(std::move(point));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.info.number < b.info.number; });
  return found;
}

StoredPoint ShadowFolder::point(model::PointNumber number) const {
  require();
  if (fs::exists(point_dir(number) / point_file)) {
    if (auto point = described(*this, number)) return *point;
  }
  for (StoredPoint& point : points()) {
    if (point.info.number == number) return point;
  }
  throw Error(Kind::not_found, fmt::format("the shadow {} has no point {}", m_id.get(), number.value),
              "see which there are: umbra shadow points VM");
}

model::PointNumber ShadowFolder::last_number() const {
  model::PointNumber last;
  for (const fs::path& dir : entries(m_path))
    last = std::max(last, point_in(dir.filename().string()).value_or(model::PointNumber{}));
  for (const model::PointNumber number : copies_in(*this)) last = std::max(last, number);
  return last;
}

std::optional<model::Manifest> ShadowFolder::known_manifest(const StoredPoint& point) const {
  const auto found = std::ranges::find_if(
      *m_known, [&](const Known& known) { return known.number == point.info.number && known.root == point.info.root; });
  return found == m_known->end() ? std::nullopt : std::optional(found->manifest);
}

void ShadowFolder::note_manifest(const StoredPoint& point, const model::Manifest& manifest) const {
  constexpr std::size_t most = 2;
  if (m_known->size() == most) m_known->erase(m_known->begin());
  m_known->push_back({point.info.number, point.info.root, manifest});
}

model::Manifest ShadowFolder::manifest(const StoredPoint& point) const {
  if (auto known = known_manifest(point)) return *std::move(known);
  try {
    model::Manifest manifest;
    for (const model::Part& part : point.info.parts)
      manifest.parts.push_back(read_manifest_file(digests_file(point.info.number, part.name), part, m_cancel));
    if (model::root_of(manifest) != point.info.root)
      throw Error(Kind::corrupt, fmt::format("the manifests of point {} of {} do not give its root",
                                             point.info.number.value, m_id.get()));
    note_manifest(point, manifest);
    return manifest;
  } catch (Error& e) {
    if (e.kind() == Kind::corrupt)
      e.set_hint("the next pass repairs the shadow: " + ports::next_pass(m_id, vm_for_hints()));
    throw;
  }
}

void ShadowFolder::sweep() const {
  const model::PointNumber last = last_number();
  base::remove_leftovers(m_path);
  for (const fs::path& dir : entries(m_path)) {
    const std::string name = dir.filename();
    const auto cut = numbered(name, incoming_prefix);
    if (name.starts_with(making_prefix) || (cut && *cut <= last))
      fs::remove_all(dir);
    else if (fs::is_directory(dir))
      base::remove_leftovers(dir);
  }
}

void ShadowFolder::sweep_passes(const fs::path& but) const {
  sweep();
  for (const fs::path& dir : entries(m_path)) {
    if (dir != but && dir.filename().string().starts_with(incoming_prefix)) fs::remove_all(dir);
  }
}

std::optional<model::PointNumber> ShadowFolder::owner_of(const fs::path& file) const {
  const std::vector<StoredPoint> all = points();
  for (const StoredPoint& point : all) {
    for (const std::string& layer : point.info.layers) {
      if (same_file(layer, file)) return point.info.number;
    }
  }
  const std::string name = (file.parent_path().filename() / file.filename()).string();
  for (const StoredPoint& point : all) {
    const fs::path description = point_dir(point.info.number) / point_file;
    if ((point.readable && !point.is_copy) || !fs::exists(description)) continue;
    if (base::read_text_file(description).find(name) != std::string::npos)
      throw Error(Kind::corrupt, point.info.damaged);
  }
  return std::nullopt;
}

std::vector<fs::path> ShadowFolder::tops() const {
  std::vector<fs::path> found;
  for (const fs::path& dir : entries(m_path)) {
    if (!dir.filename().string().starts_with(top_prefix)) continue;
    for (const fs::path& file : entries(dir)) {
      if (!owner_of(file)) found.push_back(file);
    }
  }
  return found;
}

bool ShadowFolder::may_name(const fs::path& file) const {
  if (holds(file)) return true;
  for (const fs::path& dir : entries(m_path)) {
    for (const std::string_view description : {point_file, merging_file}) {
      if (!fs::exists(dir / description)) continue;
      if (base::read_text_file(dir / description).find(file.filename().string()) != std::string::npos) return true;
    }
  }
  return false;
}

std::optional<model::PointNumber> point_in(std::string_view name) {
  return numbered(name, point_prefix);
}

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code absent;
  return a.lexically_normal() == b.lexically_normal() || fs::equivalent(a, b, absent);
}

bool ShadowFolder::holds(const fs::path& file) const {
  const fs::path relative = file.lexically_normal().lexically_relative(m_path);
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace umbra::nbd
