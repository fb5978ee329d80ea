// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a point back as a guest would, and compares it with its manifest.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

// Reports tell the first thousand differences at most. Kind::corrupt where a manifest itself is damaged.

/// All that the point's files show.
model::VerifyReport verify_whole(const ShadowFolder& folder, model::PointNumber number);

/// The blocks that the layers of this point and of those below it hold themselves, where they were not read back since
/// they were written; a memory image is read whole. They come from the disk, as far as the kernel lets its cache go.
/// A point that is equal is noted as read. The caller holds the folder's lock.
model::VerifyReport verify_unread(const ShadowFolder& folder, model::PointNumber number);

/// Whether the last file of a chain holds what the `layers` above it, which were merged into it, hold themselves: the
/// part `expected` of the point whose layer is `top`, the chain's first file.
model::VerifyReport verify_merged(const model::PartManifest& expected, const std::filesystem::path& top,
                                  std::uint32_t layers, const std::filesystem::path& merged);

/// For whoever builds on the points: a layer that was written to after its point was committed (its size or time is
/// another) is read and compared. Where it is sound the new time is noted, else Kind::corrupt. The caller holds the
/// folder's lock.
void require_untouched(const ShadowFolder& folder);

}  // namespace umbra::nbd
