// SPDX-License-Identifier: Apache-2.0
#pragma once
// Retention: the oldest point is given up, and its files take over the contents of the next one.

#include "adapters/nbd/shadow_folder.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {

/// Merges the oldest points until those are left that `keep` tells; the number that went. An interrupted merge is
/// finished first. Damaged points go where the sound ones do without them, or where it is their turn. Nothing is done
/// while the newest is damaged. Kind::refused while a writable layer stands over the points. The caller holds the
/// folder's lock.
unsigned merge_oldest(const ShadowFolder& folder, const ports::Keep& keep);

}  // namespace umbra::nbd
