// SPDX-License-Identifier: Apache-2.0
#pragma once
// Watches a VM's migration on the host that it leaves.
//
// QEMU hands over the last of the memory with the guest stopped and its own locks held; where the link is cut in that
// moment, it waits in the kernel until TCP gives up, a quarter of an hour, and neither libvirt nor anyone else can talk
// to it. Once the connection is cut on this side, QEMU takes the migration back at once and the guest runs on. That is
// safe at any time before post-copy: QEMU counts as moved only what the other side has confirmed, and libvirt starts
// the other side only then. In post-copy the guest is on both sides, and a connection that TCP would have mended must
// not be cut: the guard is told to let be before it begins.
//
// Once QEMU has handed over all, libvirt asks the other side to go on, and ends this half when it hears that it does.
// Where that answer is lost, by a link or by a libvirtd that dies in between, libvirt takes the migration for failed
// and lets the guest go on here: then two run. So once the connections are closed, QEMU's migration thread has ended
// and QEMU has its images no longer, they are held: QEMU can't take them back, and the guest stands until its QEMU is
// ended, or the guard is asked to let go by whoever has seen that the guest does not run over there.

#include <functional>
#include <string>
#include <vector>

#include "adapters/procfs/streams.hpp"
#include "base/cancel.hpp"

namespace umbra::procfs {

struct GuardOptions {
  model::Uuid vm{};
  base::Millis stall{3000};  ///< a connection without an answer for so long is cut
  int owner_fd = -1;         ///< whoever wants the guard holds the other end open; a byte there tells it to let be
  std::vector<std::string> images{};  ///< that the guest writes to
};

/// Calls `ready` once connections that QEMU opens are watched; those open by then are not the migration's. Returns when
/// QEMU has ended, it is told to let be, ask_guard() asks for that while it holds nothing, or the owner has gone and
/// there is nothing to watch or hold. Kind::not_found where no QEMU runs that VM here, Kind::busy where another guard
/// of it is there.
void guard_move(const GuardOptions& options, const base::CancelToken& cancel, base::Clock& clock,
                const std::function<void()>& ready);

}  // namespace umbra::procfs
