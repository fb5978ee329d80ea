// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a guest runs after a migration was begun, by asking both hosts. The table of answers is in JOURNAL.md.

#include "switchover/walk.hpp"

namespace umbra::switchover {

/// One look: the guest runs on the target, with this walk's epoch, and not on the source.
bool has_arrived(const Walk& walk);

/// Whether the guest of this walk runs on the target. What stands still on the source beside it is ended. Asks until
/// both hosts give a clear answer; Kind::interrupted, with what was seen last, where they do not within the deadline.
/// True also where it ran there and has ended since.
bool has_moved(Walk& walk);

}  // namespace umbra::switchover
