// SPDX-License-Identifier: Apache-2.0
#include "adapters/nbd/descriptions.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/nbd/damage.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::nbd {
namespace {

namespace fs = std::filesystem;
using base::Error;

fs::path copies_dir(const ShadowFolder& folder) {
  return folder.path() / "descriptions";
}

fs::path copy_of(const ShadowFolder& folder, model::PointNumber point) {
  return copies_dir(folder) / (folder.point_dir(point).filename().string() + ".json");
}

/// The text of a copy that can be read; empty where there is none.
std::string text_of_copy(const ShadowFolder& folder, model::PointNumber point) {
  const fs::path copy = copy_of(folder, point);
  if (!fs::exists(copy)) return {};
  try {
    if (read_point_file(copy, folder.point_dir(point)).info.number == point) return base::read_text_file(copy);
  } catch (const Error&) {
    // It is damaged too: then there is none.
  }
  return {};
}

void restore(const ShadowFolder& folder, const StoredPoint& point) {
  const std::string text = text_of_copy(folder, point.info.number);
  if (text.empty()) return;
  const fs::path dir = folder.point_dir(point.info.number);
  fs::create_directory(dir);
  base::sync_dir(folder.path());
  mark_damaged(folder, point.info.number, point.info.damaged);  // first: the point is not believed at any instant
  base::write_file_atomic(dir / point_file, text);
}

}  // namespace

void write_copy(const ShadowFolder& folder, model::PointNumber point) noexcept {
  try {
    const std::string text = base::read_text_file(folder.point_dir(point) / point_file);
    const fs::path copy = copy_of(folder, point);
    if (fs::exists(copy) && base::read_text_file(copy) == text) return;
    if (fs::create_directory(copies_dir(folder))) base::sync_dir(folder.path());
    base::write_file_atomic(copy, text);
  } catch (const std::exception& e) {
    base::log(base::Level::warning, fmt::format("the description of point {} of shadow {} has no second copy yet: {}",
                                                point.value, folder.id().get(), e.what()));
  }
}

void remove_copy(const ShadowFolder& folder, model::PointNumber point) {
  if (fs::remove(copy_of(folder, point))) base::sync_dir(copies_dir(folder));
}

std::set<model::PointNumber> copies_in(const ShadowFolder& folder) {
  std::set<model::PointNumber> found;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(copies_dir(folder), absent)) {
    const auto number = point_in(entry.path().stem().string());
    if (number && entry.path().extension() == ".json") found.insert(*number);
  }
  return found;
}

StoredPoint from_copy(const ShadowFolder& folder, model::PointNumber number, const std::string& why) {
  StoredPoint point;
  point.readable = false;
  try {
    const fs::path copy = copy_of(folder, number);
    if (fs::exists(copy)) point = read_point_file(copy, folder.point_dir(number));
  } catch (const Error&) {
    // Then the number alone is known.
  }
  if (point.info.number != number) {
    point = {};
    point.readable = false;
  }
  point.is_copy = point.readable;
  point.info.number = number;
  point.info.damaged = why;
  return point;
}

bool has_lost_description(const fs::path& dir) {
  for (const std::string_view there : {point_file, merging_file, given_up_file}) {
    if (fs::exists(dir / there)) return false;
  }
  std::error_code absent;
  return std::ranges::any_of(fs::directory_iterator(dir, absent),
                             [](const fs::directory_entry& entry) { return entry.path().extension() == ".digests"; });
}

void restore_descriptions(const ShadowFolder& folder) {
  for (const StoredPoint& point : folder.points()) {
    if (point.is_copy)
      restore(folder, point);
    else if (point.readable)
      write_copy(folder, point.info.number);
  }
}

}  // namespace umbra::nbd
