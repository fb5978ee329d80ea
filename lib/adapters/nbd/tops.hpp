// SPDX-License-Identifier: Apache-2.0
#pragma once
// Layers that come from or go to a guest: writable ones over a point, and frozen ones that become a point.
// The caller holds the folder's lock.

#include <map>

#include "adapters/nbd/shadow_folder.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {

std::map<model::DiskName, std::string> raise_top(const ShadowFolder& folder, model::PointNumber point,
                                                 const std::string& purpose);
void drop_top(const ShadowFolder& folder, const std::string& purpose);
void adopt_layers(const ShadowFolder& folder, const ports::AdoptRequest& request);
/// Kind::refused for a damaged point.
void require_sound(const ShadowFolder& folder, const StoredPoint& point);
/// Kind::busy where a running guest holds the file.
void require_file_unused(const std::filesystem::path& file);
/// The same for every file below `dir`.
void require_unused(const std::filesystem::path& dir);

}  // namespace umbra::nbd
