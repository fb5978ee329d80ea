// SPDX-License-Identifier: Apache-2.0
#include "model/points.hpp"

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
    add_u64(hash, part.blocks.size());
    hash.update(std::as_bytes(std::span(part.blocks)));
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

}  // namespace umbra::model
