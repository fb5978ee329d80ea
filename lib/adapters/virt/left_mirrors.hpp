// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a migration that has ended may leave in QEMU: the jobs that mirrored the disks to the other host, which libvirt
// has forgotten by then, or what such a job put into a disk's graph.

#include "adapters/virt/handles.hpp"

namespace umbra::virt {

/// Ends them, so that the disks are free for other jobs; nothing where there is none, or a migration is under way.
/// Kind::timeout where one does not end.
void end_left_mirrors(_virDomain* domain);

/// Whether the filter of a mirror stands on some disk without its job. A mirror that fails while QEMU writes out
/// its disks to stop the guest can leave its own (a fault of QEMU, seen in 7.2.22): the guest's disks work, no block
/// job is let begin on that one, and nothing but the end of that QEMU process removes it.
bool has_orphaned_filter(_virDomain* domain);

}  // namespace umbra::virt
