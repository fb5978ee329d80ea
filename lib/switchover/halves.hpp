// SPDX-License-Identifier: Apache-2.0
#pragma once
// A guest that has arrived leaves a half of itself on the source: for as long as libvirt takes to end it, or, in
// post-copy, until the rest of its memory has followed.

#include "switchover/walk.hpp"

namespace umbra::switchover {

/// For libvirt to end the source's half by itself. Were its answer lost, it would let the guest go on there once its
/// keepalive has given up: that must take longer, with time to spare for the ending. `umbra doctor` looks at it.
inline constexpr base::Millis source_ends_within{2'000};

/// For hosts to give a clear answer once a stop was asked for. The walk stays open, and recovery asks again.
inline constexpr base::Millis patience_once_stopped{10'000};

/// Of a guest that has arrived: returns once nothing of it is left on the source. A half that libvirt does not end is
/// ended; one that post-copy still needs is waited for. A guest whose memory has ended with one of the halves is
/// started anew on the target, from its disks. Kind::interrupted where post-copy has failed. What *runs* on the source
/// is left alone.
void end_old_half(Walk& walk);

/// Goes on with a post-copy that has failed, both halves being there, or, one of them having ended, starts the guest
/// anew; nothing where there is none. Kind::interrupted, with what to do, where it can't go on.
void mend_postcopy(Walk& walk);

}  // namespace umbra::switchover
