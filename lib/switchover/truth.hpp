// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a guest runs after a migration was begun, by asking both hosts. The table of answers is in JOURNAL.md.

#include "switchover/walk.hpp"

namespace umbra::switchover {

enum class Answer {
  moved,            ///< nothing of it is left on the source
  half_left,        ///< moved; the source does not know
  half_ends,        ///< it runs on the target; the source's half is about to end, or waits for it
  postcopy_runs,    ///< it runs on the target, and the rest of its memory follows
  postcopy_failed,  ///< the rest no longer follows; both halves are there
  lost_there,       ///< moved in post-copy, and one of the halves has ended since, and with it memory
  stands_there,     ///< moved, and paused on the target: by hand, or by an error of its storage
  lost_here,        ///< the source's half was to follow in post-copy; nothing ran, or runs, on the target
  not_moved,
  under_way,
  unclear
};

/// What one look at both hosts gives.
struct Look {
  Answer answer = Answer::unclear;
  std::string seen;  ///< both states, or why one can't be asked
  std::string hint;  ///< what makes an unclear answer a clear one
};

Look look(const Walk& walk);

/// One look: the guest runs on the target, with this walk's epoch, and not on the source.
bool has_arrived(const Walk& walk);

/// Whether the guest of this walk runs on the target. What stands still on the source beside it is ended, unless this
/// process still holds the migration. Asks until both hosts give a clear answer; Kind::interrupted, with what was seen
/// last, where they do not within the deadline. True also where it ran there and has ended since.
bool has_moved(Walk& walk);

}  // namespace umbra::switchover
