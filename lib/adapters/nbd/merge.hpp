// SPDX-License-Identifier: Apache-2.0
#pragma once
// Retention: the oldest point is given up, and its files take over the contents of the next one.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// Merges the oldest points until at most `keep` (at least 1) are left; the number merged. An interrupted merge is
/// finished first. Kind::refused while a writable layer stands over the points. The caller holds the folder's lock.
unsigned merge_oldest(const ShadowFolder& folder, unsigned keep);

}  // namespace umbra::nbd
