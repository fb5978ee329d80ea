// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sender's rule, in one place: what must be read so that the shadow's newest point becomes the next one, and the
// sending of it. Used by replicate (a running guest's backup job), by finish and by sync (frozen files).

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/domain.hpp"
#include "ports/copy.hpp"
#include "ports/store.hpp"

namespace umbra::ports {

/// A name for the checkpoint that a pass makes with its point: `umbra-<number>-<8 random hex digits>`. Its bitmap holds
/// the writes since a moment not later than the point's instant. The point bears the name, so that the two can't be
/// taken for those of another shadow, or of another point with the same number.
model::CheckpointName fresh_checkpoint(model::PointNumber point);
/// The number in the name of one of Umbra's own checkpoints; nothing for another's.
std::optional<model::PointNumber> point_of(const model::CheckpointName& checkpoint);

enum class Method {
  full,    ///< everything, there is no point yet
  bitmap,  ///< what a checkpoint's bitmap tells
  above,   ///< what lies above the layer that is the newest point
  digest,  ///< everything is read, what differs from the parent's manifest is sent
};
std::string_view to_string(Method method);

struct Choice {
  Method method = Method::full;
  std::optional<model::CheckpointName> since;  ///< for bitmap
  std::string why;                             ///< empty where the method is the cheapest
};

/// `ground` is what the far end can build on; `checkpoints` the primary's; `disks` what is to be sent (a size of 0 is
/// not known, and taken as unchanged). A bitmap will do where the ground is sound and names its checkpoint. `why` names
/// what is damaged or lost.
Choice choose_method(const model::Ground& ground, const std::vector<model::CheckpointName>& checkpoints,
                     const std::vector<model::Disk>& disks);

/// How disks have exchanged their files since the checkpoint was made, as by a definition that was edited: a bitmap
/// lies in the file and goes where that goes, so it no longer tells what changed on the disk. Empty where none has.
std::string exchanged_since(Hypervisor& primary, const model::Domain& domain, const model::CheckpointName& checkpoint);
/// The VM's checkpoints, oldest first, but those before such an exchange.
std::vector<model::CheckpointName> usable_checkpoints(Hypervisor& primary, const model::Domain& domain);

/// Files of a host that don't change any more while they are read, and the point that they shall become.
struct FrozenPoint {
  model::VmName vm;
  model::HostName host;                            ///< where the files lie
  model::ShadowId shadow;                          ///< whose next point it is
  std::vector<model::Disk> disks;                  ///< `path` is the frozen file; `chain` the files below it
  std::optional<std::string> memory_file;          ///< raw, becomes the part "memory"
  std::vector<model::CheckpointName> checkpoints;  ///< of the VM: their bitmaps may lie in the frozen files
  /// Per disk a file of its chain that equals the newest point; empty where the chains stand on no such file.
  std::map<model::DiskName, std::string> stands_on;
  base::Instant taken_at;
  std::string activity;
};

/// The same rule for frozen files, where "above" is one more way.
Choice choose_frozen(const model::Ground& ground, const FrozenPoint& frozen);

/// The layers of `own` (points that the VM's own host holds) that equal `newest` and that every disk's chain stands on;
/// empty where there are none.
std::map<model::DiskName, std::string> layers_below(const std::vector<model::PointInfo>& own,
                                                    const model::PointInfo& newest,
                                                    const std::vector<model::Disk>& disks);

/// A part that is ready to be read.
struct PartSource {
  model::DiskName name;
  std::unique_ptr<BlockSource> source;
  Look look = Look::all;
};

/// Names what the time of a pass went to.
class Stopwatch {
 public:
  explicit Stopwatch(base::Clock& clock) : m_clock(clock), m_last(clock.steady()) {}
  /// What passed since the last lap, or the beginning, was `name`; of one name the laps are added up.
  void lap(const std::string& name);
  std::vector<model::Phase> take() { return std::move(m_phases); }

 private:
  base::Clock& m_clock;
  base::Millis m_last;
  std::vector<model::Phase> m_phases;
};

struct SendOptions {
  RateLimit limit{};
  bool resume = true;              ///< what a cut pass sent is not sent again
  Stopwatch* stopwatch = nullptr;  ///< gets "prepare", "copy", "commit"
};

struct SentPoint {
  model::PointInfo info;
  CopyCounts counts;
  model::ByteCount sent;
  base::Instant committed_at;  ///< from then on it is restorable
  Choice choice;
  std::optional<bool> quiesced;  ///< the caller's to set, as `choice`
};

/// Sends `parts` as the next point over `ground` and commits it; no point stays where anything throws before.
/// `header` needs shadow, vm, taken_at and activity, and the checkpoint where one was made with it (else the parent's
/// covers it too); the rest is filled in. A part whose changes are not told, and each part over a damaged parent, is
/// compared with the digests of what is there. `before_commit` runs when all is read, before the point becomes visible;
/// where it throws there is no point. The result's `choice` is the caller's to set. The new point is the caller's to
/// read back.
SentPoint send_point(const Context& context, PointStore& far, const model::Ground& ground, model::PointHeader header,
                     std::vector<PartSource> parts, const SendOptions& options,
                     const std::function<void()>& before_commit = {});

/// The far end reads back what it wrote and has not read since, and a sample of what it wrote before. Kind::corrupt
/// where that is something else: the point stays, marked as damaged, and the next pass repairs it.
void require_equal(PointStore& far, const model::ShadowId& shadow, const model::VmName& vm, model::PointNumber point);

/// The record's section of a point that was committed and read back. `began`: the steady time at which the work began.
model::Replica replica_of(const Context& context, const SentPoint& sent, base::Millis began);

/// Chooses, opens the frozen files and sends them. A bitmap that turns out to be unusable makes it a digest pass.
SentPoint send_frozen(const Context& context, PointStore& far, const model::Ground& ground, const FrozenPoint& frozen,
                      std::optional<model::ByteRate> bandwidth);

/// What makes the next point of a shadow: those of sources bear their machine's plain name.
std::string next_pass(const model::ShadowId& shadow, const model::VmName& vm);
/// What to type where a shadow is of no use any more: "make the shadow anew: ...".
std::string make_anew(const model::VmName& vm);
/// What to type where a VM has no shadow.
std::string make_first(const model::VmName& vm);
/// Kind::refused where a VM would be copied onto its own host, into the very folder that it may run on.
void check_hosts_differ(const model::VmName& vm, const model::HostName& primary, const model::HostName& shadow_host);
/// Kind::refused where the shadow is of another VM of that name: one that was made anew must not go on in the old
/// one's.
void require_shadow_of(const ShadowRow& row, const model::Uuid& vm);
/// Kind::unsupported where there is no writable disk, or one that is no file.
void require_file_disks(const Hypervisor& hypervisor, const model::Domain& domain);
/// Whether libvirt can keep a bitmap of the disk's changes, and put layers over it.
bool is_tracked(const model::Disk& disk);
/// The disks of which it can't; empty where it can of all.
std::vector<model::DiskName> untracked_disks(const model::Domain& domain);
/// "vda is raw, vdb is raw"
std::string formats_of(const model::Domain& domain, const std::vector<model::DiskName>& disks);
/// Kind::unsupported where there is no writable disk.
void require_disks(const Hypervisor& hypervisor, const model::Domain& domain);
/// The same as require_file_disks, and where a disk's changes can't be tracked: it is no qcow2.
void require_tracked_disks(const Hypervisor& hypervisor, const model::Domain& domain);
/// Ends a backup job that an earlier run left behind; Kind::busy where another's job is under way.
void clear_stale_job(Hypervisor& hypervisor, const model::Domain& domain);
/// A failure after which the same blocks can still be found without the bitmap.
bool bitmap_unusable(const base::Error& error);
/// "point 17 of 2026-11-24T10:00:05Z stays restorable", or that there is none yet.
std::string what_is_safe(const std::vector<model::PointInfo>& points);
/// An error of `act` gets `doing` for its context, and what is safe; of corrupt data nothing is called safe.
template <class Act>
decltype(auto) with_what_is_safe(const std::string& doing, const std::vector<model::PointInfo>& points, Act&& act) {
  try {
    return base::as_error(std::forward<Act>(act));
  } catch (base::Error& e) {
    e.add_context(e.kind() == base::Kind::corrupt ? doing : doing + "; " + what_is_safe(points));
    throw;
  }
}

}  // namespace umbra::ports
