// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is made of differences: points that are damaged are marked, and the ground for the next point is found. The
// caller of each holds the folder's lock.

#include "adapters/nbd/damage.hpp"

namespace umbra::nbd {

/// For whoever builds on the points: a layer whose size or time is another than when its point was committed is read,
/// with all that its point shows, and compared. Where it is sound the new time is noted, else the point is marked, and
/// each other one that shows the same blocks.
void settle_changed_files(const ShadowFolder& folder);

/// See ports::PointStore::examine().
model::Ground examine_points(const ShadowFolder& folder);

/// Of this point's layers and of those below it, what was not read back since it was written. A point that is equal is
/// noted as read, one that is not is marked. The differences that this point shows.
model::VerifyReport check_unread(const ShadowFolder& folder, model::PointNumber point);
/// All that the point shows; the mark goes where it is sound.
model::VerifyReport check_whole(const ShadowFolder& folder, model::PointNumber point);
/// Blocks at random of this point, and of one older sound one. The differences that this point shows.
model::VerifyReport check_sample(const ShadowFolder& folder, model::PointNumber point);

}  // namespace umbra::nbd
