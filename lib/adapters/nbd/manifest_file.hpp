// SPDX-License-Identifier: Apache-2.0
#pragma once
// The file PART.digests: one part's manifest. All numbers little-endian.
//
//   offset  size  what
//        0     8  magic "UMBRADIG"
//        8     4  version, 1
//       12     4  block size, 65536
//       16     8  the part's size in bytes
//       24     8  number of digests, one per block, the last block may be short
//       32    32  SHA-256 over bytes 0..31 and all digests
//       64  32*n  SHA-256 of each block; all zero for a block of zeroes
//
// Anything else, a byte more or less, is Kind::corrupt.

#include <filesystem>

#include "model/points.hpp"

namespace umbra::nbd {

/// Bytes of the file of `part`.
std::uint64_t manifest_file_size(const model::Part& part);
/// Writes and syncs; the file must not exist.
void write_manifest_file(const std::filesystem::path& path, const model::PartManifest& manifest);
/// Reads and checks. `part` says what is expected: the size that the point gives for it.
model::PartManifest read_manifest_file(const std::filesystem::path& path, const model::Part& part);

}  // namespace umbra::nbd
