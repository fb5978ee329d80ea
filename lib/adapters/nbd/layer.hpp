// SPDX-License-Identifier: Apache-2.0
#pragma once
// One file of a point, served by a qemu-nbd of its own and read as a guest would read it.

#include <optional>

#include "adapters/nbd/nbd_source.hpp"
#include "adapters/nbd/qemu_nbd.hpp"
#include "model/points.hpp"

namespace umbra::nbd {

/// How many files of a chain are looked at, the first included; 0 for all that the chain shows.
using Depth = std::uint32_t;
inline constexpr Depth whole_chain = 0;
inline constexpr Depth own_layer = 1;

/// A layer, which tells as changed the blocks that its first `depth` files hold. A memory image is one file, and tells
/// all.
class Layer {
 public:
  Layer(const std::filesystem::path& file, const model::Part& part, Depth depth);
  NbdSource& source() { return *m_source; }

 private:
  QemuNbd m_server;
  std::optional<NbdSource> m_source;
};

}  // namespace umbra::nbd
