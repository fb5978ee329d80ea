// SPDX-License-Identifier: Apache-2.0
#pragma once
// The files that points stand on, and putting them over others.

#include <set>

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// The folders in the shadow's whose names begin so, in order.
std::vector<std::filesystem::path> folders(const ShadowFolder& folder, std::string_view prefix);
/// Every file that these points' disks are read from. Of a damaged point, as far as can be told.
std::set<std::filesystem::path> files_of(const ShadowFolder& folder, const std::vector<StoredPoint>& points);
std::optional<std::filesystem::path> layer_of(const StoredPoint& point, const model::DiskName& disk);
/// Every file below the newer points that stands directly on `from` is put over `to`, which reads the same.
void rebase_all(const ShadowFolder& folder, const std::vector<StoredPoint>& newer, const model::DiskName& disk,
                const std::filesystem::path& from, const std::filesystem::path& to);
/// Removes the files that no point's chain needs, and what is left of points that were given up; nothing where a
/// point's description can't be read just now.
void remove_unneeded(const ShadowFolder& folder);

}  // namespace umbra::nbd
