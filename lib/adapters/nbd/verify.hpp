// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads a point back as a guest would, and compares it with its manifest. Reads alone: what is made of a difference is
// examine.hpp's.

#include <map>
#include <optional>

#include "adapters/nbd/block_reader.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "base/error.hpp"

namespace umbra::nbd {

// All reads come from the disk, as far as the kernel lets its cache go. A manifest that is damaged, a file that is gone
// or does not open is a difference that names the file, and no byte. Kind::busy where another process holds a file.

/// Blocks, by part: those that are data.
using Blocks = std::map<model::DiskName, ports::BlockMap>;

/// What a look at a point's files showed.
struct Differences {
  model::VerifyReport report;  ///< tells the first of them alone
  Blocks blocks;               ///< all of them, however many
  bool sound() const { return report.sound(); }
  void add(const model::Part& part, std::uint64_t offset, std::string what);
  /// The part's file as a whole: where other points stand on it, they are looked at too.
  void add_file(const model::Part& part, std::string what);
};

/// A manifest that is damaged or gone, and what becomes of that.
model::Mismatch of_manifest(const model::Part& part, const std::filesystem::path& file, const base::Error& error);

/// All that the point's files show.
Differences verify_whole(const ShadowFolder& folder, const StoredPoint& point);
/// The blocks that the point's own layers hold; a memory image is read whole.
Differences verify_own(const ShadowFolder& folder, const StoredPoint& point);
/// These blocks alone, of parts that the point has.
Differences verify_blocks(const ShadowFolder& folder, const StoredPoint& point, const Blocks& blocks);

/// One part's file, as far as it shows, against `expected`.
model::VerifyReport verify_part(const model::PartManifest& expected, const std::filesystem::path& file,
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
