// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a point back as a guest would, and compares it with its manifest. Reads alone: what is made of a difference is
// examine.hpp's.

#include <map>
#include <optional>
#include <set>

#include "adapters/nbd/block_reader.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"

namespace umbra::nbd {

// All reads come from the disk, as far as the kernel lets its cache go. Reports tell the first thousand differences of
// each part at most. A manifest that is damaged, a file that is gone or does not open is a difference at byte 0.
// Kind::busy where another process holds a file.

/// Numbers of blocks, by part.
using Blocks = std::map<model::DiskName, std::set<std::uint64_t>>;

/// All that the point's files show.
model::VerifyReport verify_whole(const ShadowFolder& folder, const StoredPoint& point);
/// The blocks that the point's own layers hold; a memory image is read whole.
model::VerifyReport verify_own(const ShadowFolder& folder, const StoredPoint& point);
/// These blocks alone, of parts that the point has.
model::VerifyReport verify_blocks(const ShadowFolder& folder, const StoredPoint& point, const Blocks& blocks);

/// One part's file, as far as it shows, against `expected`.
void verify_part(const model::PartManifest& expected, const std::filesystem::path& file, model::VerifyReport& report,
                 const base::CancelToken* cancel);

/// Whether the last file of a chain holds what the `layers` above it, which were merged into it, hold themselves: the
/// part `expected` of the point whose layer is `top`, the chain's first file.
model::VerifyReport verify_merged(const model::PartManifest& expected, const std::filesystem::path& top,
                                  std::uint32_t layers, const std::filesystem::path& merged,
                                  const base::CancelToken* cancel);

/// What the part's file really holds, unreadable_block where that can't be told; nothing where it does not open.
std::optional<model::PartManifest> read_part(const model::Part& part, const std::filesystem::path& file,
                                             const base::CancelToken* cancel);

/// A failure that says that a file is no good, and not that the tools are missing or the file is in use.
bool is_damage(const base::Error& error);

}  // namespace umbra::nbd
