// SPDX-License-Identifier: Apache-2.0
#pragma once
// The payload KEPT of FORMAT.md: what a cut pass left at the far end.

#include "adapters/stream/frame.hpp"
#include "ports/kept_blocks.hpp"

namespace umbra::stream {

using Kept = std::vector<ports::KeptBlocks>;  ///< per part

std::uint64_t runs_in(const Kept& kept);
void write_kept(FrameWriter& out, const Kept& kept);
/// `runs` as announced. Kind::corrupt where they don't rise, or lie outside of `parts`.
Kept read_kept(FrameReader& in, const std::vector<model::Part>& parts, std::uint64_t runs);

}  // namespace umbra::stream
