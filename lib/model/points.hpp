// SPDX-License-Identifier: Apache-2.0
#pragma once
// Restore points: their shape, their digests, and the root that identifies their contents.

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/digest_list.hpp"
#include "model/ids.hpp"

namespace umbra::model {

/// Blocks are the unit of digests, of the stream and of the dirty bitmap's granularity.
inline constexpr std::uint64_t block_size = 65536;
inline std::uint64_t blocks_in(ByteCount size) {
  return (size.value + block_size - 1) / block_size;
}

/// The name that the memory image bears among a point's parts.
inline const DiskName memory_part{"memory"};

/// One disk of a point, or its memory image.
struct Part {
  DiskName name;
  ByteCount size;
  bool is_memory() const { return name == memory_part; }
  bool operator==(const Part&) const = default;
};

/// The largest size of a point, all parts together: what memory and tables are laid out for.
inline constexpr std::uint64_t most_size = 1ull << 44;

/// The digests of one part, one per block; an all-zero block has the all-zero digest, never computed or sent.
struct PartManifest {
  Part part;
  base::DigestList blocks;
};

struct Manifest {
  std::vector<PartManifest> parts;
};

/// The root is a tree of digests over 1,024 blocks each, so that what did not change is not hashed again:
///   page digest   SHA-256 over the digests of 1,024 blocks in turn (the part's last page: those that it has); 32 zero
///                 bytes where these digests are all zero, which is never hashed
///   root          SHA-256 over, part by part in the manifest's order: name, a zero byte, size and number of pages as
///                 64-bit little-endian, then the page digests
base::Digest root_of(const Manifest& manifest);

struct PointInfo {
  PointNumber number;
  base::Digest root;
  base::Instant taken_at;
  std::vector<Part> parts;
  std::vector<std::string> layers;  ///< the file of each part on the shadow's host, in the order of `parts`
  ByteCount bytes;                  ///< that this point's own layers occupy
  /// The checkpoint on the primary whose bitmap holds all writes since this point, and perhaps more; empty: none does.
  std::string checkpoint;
  bool read_back = false;  ///< the point's own layers were read back since they were written, and equal its manifest
  /// What is wrong with what lies on the shadow's host: "vda at byte 131072: the contents differ from the manifest".
  /// Empty where nothing is known to be: a damaged point is never activated, and never believed.
  std::string damaged{};
  bool sound() const { return damaged.empty(); }
  bool has_memory() const;
  std::optional<std::string> memory_file() const;
};

/// The newest point that is sound; nullptr where none is. `points` are oldest first.
const PointInfo* newest_sound(const std::vector<PointInfo>& points);

/// Stands for the digest of a block that can't be read: no block has it.
inline constexpr base::Digest unreadable_block = [] {
  base::Digest digest{};
  for (auto& byte : digest.bytes) byte = std::byte{0xff};
  return digest;
}();

/// What the next point of a shadow can be built on, as a look at its files found it.
struct Ground {
  /// The newest point that still opens; absent where there is none. Where it is damaged it bears the root of `found`,
  /// has the parts alone that could be read, and no checkpoint.
  std::optional<PointInfo> parent;
  PointNumber last;               ///< the highest number that was ever given: the next point's is one more
  std::string damage;             ///< what is damaged or lost of the points that would else be built on; empty: nothing
  std::optional<Manifest> found;  ///< where `parent` is damaged: what it really holds
};

/// Without a look: the newest sound point, or else nothing, and what is known to be wrong with the newer ones.
Ground ground_of(const std::vector<PointInfo>& points);

/// What a sender announces before the first block.
struct PointHeader {
  ShadowId shadow;
  VmName vm;
  PointNumber number;
  PointNumber parent;        ///< 0: none, blocks not told are zero
  base::Digest parent_root;  ///< meaningless without a parent
  base::Instant taken_at;
  std::vector<Part> parts;
  std::string checkpoint;  ///< see PointInfo
  std::string activity;    ///< the guest's processes and open files as JSON; empty where not known
  bool resume = false;     ///< build on what a cut pass to the same number left, and say what that is
};

/// Neighbouring blocks that hold the same; more than one where they are zero alone.
struct BlockRun {
  std::uint64_t block = 0;
  std::uint64_t count = 1;
  base::Digest digest;
  bool operator==(const BlockRun&) const = default;
};

struct Mismatch {
  DiskName disk;
  std::optional<std::uint64_t> offset;  ///< absent: it is a file as a whole, which `what` names
  std::string what;
};

struct VerifyReport {
  static constexpr std::size_t most_told = 1000;
  std::uint64_t blocks_read = 0;
  std::uint64_t places = 0;          ///< differences in all
  std::vector<Mismatch> mismatches;  ///< the first most_told of them
  void add(Mismatch mismatch);
  bool sound() const { return mismatches.empty(); }
};

/// "vda at byte 131072: the contents differ from the manifest", "vda: FILE is gone".
std::string told(const Mismatch& mismatch);
/// "vda at byte 131072: the contents differ from the manifest, and in 2 more places". Of a report that is not sound.
std::string first_of(const VerifyReport& report);

}  // namespace umbra::model
