// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a pass that was cut left of a point: layers in its incoming folder, believed for what is read in them alone. So
// nothing needs to be noted, or synced, while blocks come.

#include <filesystem>
#include <optional>

#include "base/cancel.hpp"
#include "ports/kept_blocks.hpp"

namespace umbra::nbd {

/// The blocks that `layer` itself holds, as they read now. Nothing where it can't be built on: it is no sound
/// qcow2 of the part's size over `backing` (as its header has it, absolute).
std::optional<ports::KeptBlocks> blocks_of_unfinished(const std::filesystem::path& layer, const model::Part& part,
                                                      const std::optional<std::filesystem::path>& backing,
                                                      const base::CancelToken* cancel);

}  // namespace umbra::nbd
