// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is noted beside a damaged point, durably, in the point's folder:
//   damaged       what is wrong with it, one line
//   found.json    the files that the point is read from as they were when it was read, and the root of what they hold:
//                 {"root":"sha256:…","files":[{"path":"…","bytes":196624,"modified_ns":1795514400000000000}]}
//   PART.found    the digests of what PART really holds, of each part that opens, in the format of PART.digests
// found.json is written last. The caller holds the folder's lock.

#include "adapters/nbd/shadow_folder.hpp"

namespace umbra::nbd {

/// Marks the point, and says so. Nothing where its folder is gone: that tells enough.
void mark_damaged(const ShadowFolder& folder, model::PointNumber point, const std::string& what);
/// It is sound after all: the mark goes, and what was found with it.
void clear_damage(const ShadowFolder& folder, model::PointNumber point);

/// What a damaged point holds: the parts that could be read.
struct Found {
  StoredPoint point;  ///< with these parts alone, their layers, and the root of `manifest`
  model::Manifest manifest;
};

void write_found(const ShadowFolder& folder, const Found& found);
/// Nothing where it was not read, or where a file changed since.
std::optional<Found> read_found(const ShadowFolder& folder, const StoredPoint& point);
/// Whether the point was read and a file of it changed since.
bool changed_since_found(const ShadowFolder& folder, const StoredPoint& point);
/// What was found is not to be believed any more, and the next look reads anew; the files are noted as they are now.
void note_files(const ShadowFolder& folder, const StoredPoint& point);

}  // namespace umbra::nbd
