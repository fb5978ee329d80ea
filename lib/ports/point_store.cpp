// SPDX-License-Identifier: Apache-2.0
#include "ports/point_store.hpp"

#include <algorithm>
#include <array>

#include "model/domain.hpp"

namespace umbra::ports {

void ChangeDigest::add(char kind, std::uint64_t a, std::uint64_t b) {
  std::array<std::byte, 17> bytes{};
  bytes[0] = static_cast<std::byte>(kind);
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[1 + i] = static_cast<std::byte>(a >> (8 * i));
    bytes[9 + i] = static_cast<std::byte>(b >> (8 * i));
  }
  m_hash.update(bytes);
}

void ChangeDigest::data(std::size_t part, std::uint64_t block, const base::Digest& digest) {
  add('D', part, block);
  m_hash.update(digest.bytes);
}

void ChangeDigest::zero(std::size_t part, std::uint64_t first_block, std::uint64_t count) {
  add('Z', part, first_block);
  add('C', count, 0);
}

model::ShadowLevel level_of(const std::vector<model::PointInfo>& points) {
  if (model::newest_sound(points) == nullptr) return model::ShadowLevel::defined;
  const bool resumable =
      std::ranges::any_of(points, [](const model::PointInfo& point) { return point.sound() && point.has_memory(); });
  return resumable ? model::ShadowLevel::warm : model::ShadowLevel::seeded;
}

std::size_t Keep::surplus(const std::vector<model::PointInfo>& points) const {
  const model::PointInfo* last = model::newest_sound(points);
  if (last == nullptr) return 0;
  const auto bound = static_cast<std::size_t>(last - points.data());
  std::size_t count = points.size() - std::min<std::size_t>(points.size(), std::max(most, 1u));
  while (since && count < points.size() && points[count].taken_at < *since) ++count;
  return std::min(count, bound);
}

Keep keep_of(unsigned most, const std::optional<base::Seconds>& span, base::Instant now) {
  if (!span) return {most};
  return {most, now - std::chrono::duration_cast<base::Instant::duration>(*span)};
}

unsigned thin_out(PointStore& store, const model::ShadowId& shadow, const Keep& keep) {
  store.drop_top(shadow, model::rehearsal_purpose);
  return store.retain(shadow, keep);
}

}  // namespace umbra::ports
