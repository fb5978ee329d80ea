// SPDX-License-Identifier: Apache-2.0
#pragma once
// The copy engine: one part of a point, from where its blocks are read to the sink that writes the point. Pure over the
// ports, so that replication, the final delta of frozen files and the memory image all go through the same lines.

#include <optional>
#include <vector>

#include "model/points.hpp"
#include "ports/context.hpp"
#include "ports/kept_blocks.hpp"

namespace umbra::ports {

/// What is known of a part's blocks in the parent point. Only blocks that are known to be the same are left out.
class ParentBlocks {
 public:
  /// There is no parent, or it lacks this part: every block is zero there.
  static ParentBlocks zero() { return ParentBlocks(true, nullptr); }
  /// There is one, its digests were not asked for.
  static ParentBlocks unknown() { return ParentBlocks(false, nullptr); }
  /// `manifest` must outlive this object. Blocks past its end are zero.
  static ParentBlocks known(const model::PartManifest& manifest) { return ParentBlocks(true, &manifest); }

  /// True only where the parent's block is known to have this digest.
  bool same(std::uint64_t block, const base::Digest& digest) const;
  /// The first block from this one on, and before `end`, that is not known to be zero there; else `end`.
  std::uint64_t next_not_zero(std::uint64_t block, std::uint64_t end) const;

 private:
  ParentBlocks(bool is_known, const model::PartManifest* manifest) : m_known(is_known), m_manifest(manifest) {}
  bool m_known;
  const model::PartManifest* m_manifest;
};

/// Which extents are looked at.
enum class Look { changed, all };

/// What may be sent by now; nothing: as much as goes.
using RateLimit = std::function<std::optional<model::ByteRate>()>;

/// Keeps what is sent under a rate by pausing; without a rate it does nothing.
class Pace {
 public:
  Pace(base::Clock& clock, const base::CancelToken& cancel, std::optional<model::ByteRate> limit)
      : Pace(clock, cancel, [limit] { return limit; }) {}
  Pace(base::Clock& clock, const base::CancelToken& cancel, RateLimit limit);
  /// `sent` is what left in all since this object was made. Throws Kind::cancelled.
  void keep(model::ByteCount sent);
  bool is_limited() const { return m_limit().has_value(); }

 private:
  base::Clock& m_clock;
  const base::CancelToken& m_cancel;
  RateLimit m_limit;
  base::Millis m_start;
  model::ByteCount m_sent;
  base::Seconds m_due{0};  ///< since the start: when what was sent may have been
};

struct CopyCounts {
  model::ByteCount looked;   ///< at: read, or known as zero from the extents
  model::ByteCount data;     ///< told as data blocks
  model::ByteCount zero;     ///< told as zero ranges: it became zero
  model::ByteCount resumed;  ///< not told again: an earlier, cut pass had sent it
  CopyCounts& operator+=(const CopyCounts& other);
};

struct CopyJob {
  std::size_t part = 0;  ///< index among the point's parts
  ParentBlocks parent = ParentBlocks::unknown();
  Look look = Look::all;
  KeptBlocks kept{};  ///< of BlockSink::kept(): looked at whatever `look` says
};

struct CopyProgress {
  model::ByteCount done;  ///< of what is looked at
  model::ByteCount total;
  model::ByteCount told;  ///< as data blocks
  model::ByteCount sent;  ///< of the sink, since the part began
};

/// Tells `sink` every looked-at block that is not known to be the parent's, in rising order, and feeds `changes` alike.
/// Blocks that hold zeroes alone are told as zero ranges. `progress` may be empty. Throws
/// Kind::cancelled between two reads.
CopyCounts send_part(BlockSource& source, BlockSink& sink, ChangeDigest& changes, const CopyJob& job, Pace& pace,
                     const base::CancelToken& cancel, const std::function<void(const CopyProgress&)>& progress);

}  // namespace umbra::ports
