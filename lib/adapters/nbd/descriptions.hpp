// SPDX-License-Identifier: Apache-2.0
#pragma once
// A second copy of each point's description, outside the point's folder: descriptions/point-000017.json, as point.json.
// So a point whose description was deleted or damaged, or whose folder is gone, is known, and told. A copy is written
// once its point is there and removed before the point goes: without its point it means damage. It may be older than
// the description in what changes there, the layers' places and times; what it tells is compared before it is believed.

#include <set>

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// The caller holds the folder's lock. Where it can't be written that is logged, and the next look writes it.
void write_copy(const ShadowFolder& folder, model::PointNumber point) noexcept;
void remove_copy(const ShadowFolder& folder, model::PointNumber point);
/// The points that have one.
std::set<model::PointNumber> copies_in(const ShadowFolder& folder);
/// The point as the copy has it, damaged for the reason `why`; one of which the number alone is known where there is
/// no copy that can be read.
StoredPoint from_copy(const ShadowFolder& folder, model::PointNumber point, const std::string& why);
/// Whether a point lay in the folder, and its description is gone though it was neither merged nor given up.
bool has_lost_description(const std::filesystem::path& point_dir);
/// Puts descriptions back that are lost or damaged and have a copy; their points are marked first. Writes the copies
/// that are absent or out of date. The caller holds the folder's lock.
void restore_descriptions(const ShadowFolder& folder);

}  // namespace umbra::nbd
