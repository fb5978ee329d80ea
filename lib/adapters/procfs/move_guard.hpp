// SPDX-License-Identifier: Apache-2.0
#pragma once
// Watches a VM's migration on the host that it leaves. QEMU hands over the last of the memory with the guest stopped
// and its own locks held; where the link is cut in that moment, it waits in the kernel until TCP gives up, a quarter of
// an hour, and neither libvirt nor anyone else can talk to it. Once the connection is cut on this side, QEMU takes the
// migration back at once and the guest runs on. That is safe at any time before post-copy: QEMU counts as moved only
// what the other side has confirmed, and libvirt starts the other side only then. In post-copy the guest is on both
// sides, and a connection that TCP would have mended must not be cut: the guard is told to let be before it begins.

#include "adapters/procfs/streams.hpp"
#include "base/cancel.hpp"

namespace umbra::procfs {

struct GuardOptions {
  model::Uuid vm;
  base::Millis stall{3000};  ///< a connection without an answer for so long is cut
  int owner_fd = -1;         ///< whoever wants the guard holds the other end open; a byte there tells it to let be
};

/// Calls `ready` once connections that QEMU opens are watched; those open by then are not the migration's. Returns when
/// QEMU has ended, it is told to let be, or the owner has gone and no such connection is left. Kind::not_found where no
/// QEMU runs that VM here.
void guard_move(const GuardOptions& options, const base::CancelToken& cancel, base::Clock& clock,
                const std::function<void()>& ready);

}  // namespace umbra::procfs
