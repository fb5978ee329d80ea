// SPDX-License-Identifier: Apache-2.0
#pragma once
// The restore points of shadows on one host: what `umbra receive` does there. The local adapter keeps them as qcow2
// layers (adapters/nbd); a remote one speaks the stream to it (adapters/stream).

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/file_stamp.hpp"
#include "model/points.hpp"
#include "model/sections.hpp"
#include "ports/kept_blocks.hpp"

namespace umbra::ports {

/// A point being written. Blocks that are not told are the parent's, but for those of kept(); a part that the parent
/// lacks is zero there, and so is what lies past the end of a part that was smaller there. Without commit() there is no
/// point; what was written stays for the next try where the header asks to resume, unless the disk is full.
class BlockSink {
 public:
  virtual ~BlockSink() = default;
  /// Per part, rising, what an earlier pass to this point left, as it was found just now: these blocks are not the
  /// parent's. Each must be looked at, and told where the source holds something else.
  virtual std::vector<KeptBlocks> kept() const { return {}; }
  /// Bytes are scarce: what is sent is held under a rate.
  virtual void save_bytes() {}
  /// `part` indexes the header's parts; `data` is one block, shorter only at the part's end. Rising per part. `digest`
  /// is that of `data`: who took the two from a wire has compared them.
  virtual void data(std::size_t part, std::uint64_t block, const base::Digest& digest,
                    std::span<const std::byte> data) = 0;
  virtual void zero(std::size_t part, std::uint64_t first_block, std::uint64_t count) = 0;
  /// Checks, syncs, and makes the point visible by one rename. Kind::corrupt where `changes` differs from what came.
  /// `changes` is SHA-256 over what was told, in order: see ChangeDigest.
  virtual model::PointInfo commit(const base::Digest& changes) = 0;
  /// Bytes that left this process or, for a local store, were written.
  virtual model::ByteCount sent() const = 0;
};

/// The digest over a point's changes, computed alike at both ends. Per data block: 'D', part, block, digest; per zero
/// range: 'Z', part, first block, then 'C', count, 0; numbers as 64-bit little-endian.
class ChangeDigest {
 public:
  void data(std::size_t part, std::uint64_t block, const base::Digest& digest);
  void zero(std::size_t part, std::uint64_t first_block, std::uint64_t count);
  base::Digest finish() { return m_hash.finish(); }

 private:
  void add(char kind, std::uint64_t a, std::uint64_t b);
  base::Sha256 m_hash;
};

/// Files that became frozen on this host and are, from now on, a point's layers where they lie.
struct AdoptRequest {
  model::ShadowId shadow;
  model::VmName vm;
  model::PointNumber number;
  base::Instant taken_at;
  std::map<model::DiskName, std::string> layers;
  model::Manifest manifest;
};

/// What the committed points make of their shadow: warm as long as one of them has memory to resume from.
model::ShadowLevel level_of(const std::vector<model::PointInfo>& points);

/// What a thinning out leaves of a shadow's points. The newest sound one stays in any case.
struct Keep {
  unsigned most = 1;                     ///< at most so many points, at least 1
  std::optional<base::Instant> since{};  ///< and none that was taken before
  Keep(unsigned points, std::optional<base::Instant> taken_since = {}) : most(points), since(taken_since) {}
  /// How many of the oldest of `points` go: those beyond the number, and those of before, but for the last sound one.
  std::size_t surplus(const std::vector<model::PointInfo>& points) const;
};

/// What a policy keeps: so many points, and, where `span` is given, none that is older at `now`.
Keep keep_of(unsigned most, const std::optional<base::Seconds>& span, base::Instant now);

enum class Verify : char {
  unread,  ///< what was not read back since it was written: of this point's layers and of those of the points below it
  whole,   ///< all that the point's files show, layers of older points included
  sample   ///< blocks at random that this point shows, and one of the older ones: sample_blocks of each
};

/// Blocks of a point that every pass reads back besides what it wrote.
inline constexpr std::size_t sample_blocks = 64;

class PointStore {
 public:
  virtual ~PointStore() = default;

  /// Makes the shadow's folder with an empty layer per disk and gives their paths. Again with the same disks: the
  /// same answer. Kind::refused where the folder belongs to another VM.
  virtual std::map<model::DiskName, std::string> create(const model::ShadowId& shadow, const model::VmName& vm,
                                                        const std::vector<model::Part>& disks) = 0;
  /// Hands a pooled, empty shadow to a VM: the folder `from` becomes `to`.
  virtual std::map<model::DiskName, std::string> claim(const model::ShadowId& from, const model::ShadowId& to,
                                                       const model::VmName& vm,
                                                       const std::vector<model::Part>& disks) = 0;
  /// Removes everything of the shadow; files that it adopted stay. Nothing where it is absent.
  virtual void drop(const model::ShadowId& shadow) = 0;
  /// The same, with the files that it adopted: the disks of a decommissioned primary. Nothing where it is absent.
  virtual void drop_with_adopted(const model::ShadowId& shadow) = 0;
  /// Removes a shadow that was made a moment ago and holds nothing: no point, none that goes on where it was cut, no
  /// top. Else, and where it is absent, nothing.
  virtual void take_back(const model::ShadowId& shadow) = 0;
  /// One that can't be looked at is told as a warning, and passed by.
  virtual std::vector<model::ShadowId> shadows() = 0;

  /// Committed points, oldest first; empty where the shadow is absent.
  virtual std::vector<model::PointInfo> points(const model::ShadowId& shadow) = 0;
  virtual model::Manifest manifest(const model::ShadowId& shadow, model::PointNumber point) = 0;
  /// The guest's activity as stored with the point; empty where not known.
  virtual std::string activity(const model::ShadowId& shadow, model::PointNumber point) = 0;
  /// What the next point can be built on: looks whether the files of the points are there, as they were, and read back,
  /// and marks those that are damaged or lost. Where the newest is, the newest that still opens is read block by block,
  /// and what it holds is kept beside it. Cheap where all is well.
  virtual model::Ground examine(const model::ShadowId& shadow) = 0;
  /// Opens the next point. What an earlier, unfinished one left is removed first, or built on: see BlockSink::kept().
  /// Its parent is the newest sound point, or a damaged one as examine() found it, as long as no file changed since.
  virtual std::unique_ptr<BlockSink> begin(const model::PointHeader& header) = 0;
  /// Reads back and compares with the manifests. Layers that are equal are noted as read; a point that differs, or does
  /// not open, is marked as damaged, and so is each point that shows the same blocks. One that was marked and is read
  /// whole as it should be is sound again.
  virtual model::VerifyReport verify(const model::ShadowId& shadow, model::PointNumber point, Verify what) = 0;
  /// Merges the oldest points until those are left that `keep` tells. Restartable. The number that went. Damaged points
  /// go once a sound newer one does without them; nothing goes while the newest is damaged.
  virtual unsigned retain(const model::ShadowId& shadow, const Keep& keep) = 0;
  /// Writes each disk of a sound point as a plain qcow2 that stands alone, compared with the manifest and synced, on
  /// this host: into the folder `target` as DISK.qcow2, or, of a point with one disk, as the file `target`. The files.
  /// Kind::refused where one of them is there already.
  virtual std::vector<std::string> export_point(const model::ShadowId& shadow, model::PointNumber point,
                                                const std::string& target) = 0;

  /// Empty writable layers over a point, named for a purpose ("epoch-4", "rehearsal"). Again: the same files as long as
  /// they are over the same point. Kind::refused over a damaged one.
  virtual std::map<model::DiskName, std::string> raise_top(const model::ShadowId& shadow, model::PointNumber point,
                                                           const std::string& purpose) = 0;
  virtual void drop_top(const model::ShadowId& shadow, const std::string& purpose) = 0;
  /// Again with the same number and contents: nothing is done. The shadow's folder is made where there is none, and
  /// the number may leave a gap to the newest point.
  virtual void adopt(const AdoptRequest& request) = 0;
  /// Removes a file that Umbra made beside a disk: its name must contain ".umbra-". Nothing where it is absent.
  virtual void remove_made(const std::string& path) = 0;
  /// The files of `path`'s chain, nearest first, `path` itself included. Kind::not_found where there is no such file.
  virtual std::vector<std::string> chain(const std::string& path) = 0;
  /// What a file on that host looks like. Kind::not_found where there is none.
  virtual model::FileStamp stamp(const std::string& path) = 0;
  virtual model::ByteCount free_space() = 0;
};

/// Merges as retain() does, once the throwaway layer of a rehearsal that was killed is gone: it would stand in the way.
/// The caller holds the VM's lease, so that no rehearsal is under way.
unsigned thin_out(PointStore& store, const model::ShadowId& shadow, const Keep& keep);

}  // namespace umbra::ports
