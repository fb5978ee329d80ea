// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a point back as a guest would, and compares it with its manifest.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// The first thousand differences at most. `own_layers_only`: blocks that the point's own layers hold; a memory image
/// is always read whole. Kind::corrupt where the manifest itself is damaged.
model::VerifyReport verify_point(const ShadowFolder& folder, model::PointNumber number, bool own_layers_only);

/// For whoever builds on the points: a layer that was written to after its point was committed (its size or time is
/// another) is read and compared. Where it is sound the new time is noted, else Kind::corrupt. The caller holds the
/// folder's lock.
void require_untouched(const ShadowFolder& folder);

}  // namespace umbra::nbd
