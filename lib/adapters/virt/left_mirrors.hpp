// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a migration that has ended may leave in QEMU: the jobs that mirrored the disks to the other host. Libvirt has
// forgotten them by then.

#include "adapters/virt/handles.hpp"

namespace umbra::virt {

/// Ends them, so that the disks are free for other jobs; nothing where there is none, or a migration is under way.
/// Kind::timeout where one does not end.
void end_left_mirrors(_virDomain* domain);

}  // namespace umbra::virt
