// SPDX-License-Identifier: Apache-2.0
#pragma once
// The file PART.digests: one part's manifest, in the pages of base::DigestList. All numbers little-endian.
//
//   offset  size  what
//        0     8  magic "UMBRADIG"
//        8     4  version, 2
//       12     4  block size, 65536
//       16     8  the part's size in bytes
//       24     8  number of pages that follow: those that are not of zero digests alone
//       32     8  number of digests in them
//       40    32  SHA-256 over bytes 0..39, then number and digest of each page that follows (8 + 32 bytes)
//       72     -  per page, rising: its number (8), then its digests (32 each): 1,024 of them, in the part's last page
//                 those that it has; all zero for a block of zeroes
//
// Anything else, a byte more or less, is Kind::corrupt. A page that is not there is of blocks of zeroes.

#include <filesystem>

#include "base/cancel.hpp"
#include "model/points.hpp"

namespace umbra::nbd {

/// Writes and syncs; the file must not exist. Kind::cancelled once `cancel` is asked for, which may be null.
void write_manifest_file(const std::filesystem::path& path, const model::PartManifest& manifest,
                         const base::CancelToken* cancel = nullptr);
/// Reads and checks, page by page. `part` says what is expected: the size that the point gives for it.
model::PartManifest read_manifest_file(const std::filesystem::path& path, const model::Part& part,
                                       const base::CancelToken* cancel = nullptr);
/// Kind::corrupt where the file's header is none of `part`, or its length another than the header tells. Its pages are
/// not read.
void look_at_manifest_file(const std::filesystem::path& path, const model::Part& part);

}  // namespace umbra::nbd
