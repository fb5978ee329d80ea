// SPDX-License-Identifier: Apache-2.0
#pragma once
// A point's disk as one plain qcow2 that stands alone.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// Copies what `layer` shows into `to`, which must not exist, compares it with `expected`, and syncs it. Nothing of it
/// stays where that fails: Kind::corrupt where it differs.
void copy_out(const std::filesystem::path& layer, const model::PartManifest& expected, const std::filesystem::path& to,
              const base::CancelToken* cancel);

/// See ports::PointStore::export_point().
std::vector<std::string> export_disks(const ShadowFolder& folder, const StoredPoint& point, const std::string& target);

}  // namespace umbra::nbd
