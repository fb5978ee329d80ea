// SPDX-License-Identifier: Apache-2.0
#include "model/points.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace umbra::model {
namespace {

void add_u64(base::Sha256& hash, std::uint64_t value) {
  std::array<std::byte, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  hash.update(bytes);
}

}  // namespace

base::Digest root_of(const Manifest& manifest) {
  base::Sha256 hash;
  for (const PartManifest& part : manifest.parts) {
    hash.update(part.part.name.get());
    hash.update(std::string_view("\0", 1));
    add_u64(hash, part.part.size.value);
    add_u64(hash, part.blocks.pages());
    for (std::uint64_t page = 0; page < part.blocks.pages(); ++page) hash.update(part.blocks.digest_of(page).bytes);
  }
  return hash.finish();
}

bool PointInfo::has_memory() const {
  return memory_file().has_value();
}

std::optional<std::string> PointInfo::memory_file() const {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].is_memory()) return layers.at(i);
  }
  return std::nullopt;
}

const PointInfo* newest_sound(const std::vector<PointInfo>& points) {
  const auto it = std::find_if(points.rbegin(), points.rend(), [](const PointInfo& point) { return point.sound(); });
  return it == points.rend() ? nullptr : &*it;
}

Ground ground_of(const std::vector<PointInfo>& points) {
  Ground ground;
  if (points.empty()) return ground;
  ground.last = points.back().number;
  if (const PointInfo* sound = newest_sound(points)) ground.parent = *sound;
  for (const PointInfo& point : points) {
    if (point.sound() || (ground.parent && point.number < ground.parent->number)) continue;
    if (!ground.damage.empty()) ground.damage += "; ";
    ground.damage += fmt::format("point {} is damaged: {}", point.number.value, point.damaged);
  }
  return ground;
}

void VerifyReport::add(Mismatch mismatch) {
  ++places;
  if (mismatches.size() < most_told) mismatches.push_back(std::move(mismatch));
}

std::string told(const Mismatch& mismatch) {
  const std::string at = mismatch.offset ? fmt::format(" at byte {}", *mismatch.offset) : "";
  return fmt::format("{}{}: {}", mismatch.disk.get(), at, mismatch.what);
}

std::string first_of(const VerifyReport& report) {
  const Mismatch& first = report.mismatches.front();
  std::string text = told(first);
  if (report.places > 1) text += fmt::format(", and in {} more places", report.places - 1);
  return text;
}

}  // namespace umbra::model
