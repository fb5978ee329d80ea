// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sync puts beside a running guest's disks while it freezes an instant: an overlay per disk, and a memory image.
// A run that was killed leaves them; whoever works on the VM next takes them away.

#include <string>

#include "ports/hypervisor.hpp"
#include "ports/point_store.hpp"

namespace umbra::ports {

/// `<path without .qcow2>.umbra-sync.qcow2`
std::string overlay_path(const std::string& disk_path);
/// `<images>/<vm>.umbra-sync.mem`
std::string memory_path(const std::string& images, const model::VmName& vm);

/// Folds the overlays that a running guest stands on into the files below, and removes the files of such a sync. `own`
/// is the store of the primary's host, `images` its folder. The domain as it is then; one that is off is left as it is.
/// A reader of that sync may hold the files for a moment longer: they are waited for.
model::Domain clear_sync_files(Hypervisor& primary, PointStore& own, model::Domain domain, const std::string& images,
                               base::Clock& clock);

/// Whether the guest stands on an overlay of a sync.
bool on_sync_overlay(const model::Domain& domain);

}  // namespace umbra::ports
