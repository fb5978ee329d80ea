// SPDX-License-Identifier: Apache-2.0
#pragma once
// The end of damaged points.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// What becomes of a damaged point whose files a sound one stands on.
enum class Needed {
  kept,       ///< it stays
  copied_out  ///< the sound one is copied into a file that stands alone, and it goes
};

/// Removes the damaged points that have a sound newer one; the number that went. Never are its blocks merged into
/// another file. Can be cut anywhere and begun again: a copy takes the place of a layer by one rename, and reads the
/// same. The caller holds the folder's lock.
unsigned give_up_damaged(const ShadowFolder& folder, Needed needed);

}  // namespace umbra::nbd
