// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a point back as a guest would, and compares it with its manifest.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// The first thousand differences at most. `own_layers_only`: blocks that the point's own layers hold; a memory image
/// is always read whole. Kind::corrupt where the manifest itself is damaged.
model::VerifyReport verify_point(const ShadowFolder& folder, model::PointNumber number, bool own_layers_only);

}  // namespace umbra::nbd
