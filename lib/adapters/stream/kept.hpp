// SPDX-License-Identifier: Apache-2.0
#pragma once
// The payload KEPT of FORMAT.md: what a cut pass left at the far end.

#include "adapters/stream/frame.hpp"
#include "model/points.hpp"

namespace umbra::stream {

using KeptBlocks = std::vector<std::vector<model::BlockRun>>;  ///< per part, rising

std::uint64_t runs_in(const KeptBlocks& kept);
void write_kept(FrameWriter& out, const KeptBlocks& kept);
/// `runs` as announced. Kind::corrupt where they don't rise, or lie outside of `parts`. Memory grows with what came.
KeptBlocks read_kept(FrameReader& in, const std::vector<model::Part>& parts, std::uint64_t runs);

}  // namespace umbra::stream
