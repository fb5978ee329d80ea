// SPDX-License-Identifier: Apache-2.0
#pragma once
// One host's hypervisor. Every act is by libvirt's API in the real adapter; tests/fakes has a simulated one.
// Each call either has its effect whole or throws base::Error and leaves what was there.

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "model/domain.hpp"
#include "model/points.hpp"
#include "model/sections.hpp"

namespace umbra::ports {

/// Where one disk of a backup job can be read.
struct NbdExport {
  model::DiskName disk;
  std::string uri;            ///< nbd://… or nbd+unix://…
  std::string dirty_context;  ///< "qemu:dirty-bitmap:NAME"; empty where no bitmap is exported
};

/// A pull-mode backup under way. The destructor ends the job where end() was not called.
class BackupJob {
 public:
  virtual ~BackupJob() = default;
  virtual const std::vector<NbdExport>& exports() const = 0;
  virtual base::Instant taken_at() const = 0;
  virtual bool quiesced() const = 0;
  virtual void end() = 0;
};

struct BackupRequest {
  std::vector<model::DiskName> disks;
  std::vector<model::DiskName> untracked{};    ///< of these: no bitmap can be kept of them, they are exported whole
  std::optional<model::CheckpointName> since;  ///< absent: every block, no bitmap
  std::optional<model::CheckpointName> fresh;  ///< checkpoint created at the same instant
  std::string listen;                          ///< TCP address of the export; empty: a local socket
  std::string scratch_dir;                     ///< folder on the host for the job's scratch files
};

struct FreezeRequest {
  std::map<model::DiskName, std::string> overlays;  ///< new top layer per disk; must not exist yet
  std::optional<std::string> memory_file;           ///< memory of the same instant goes there; the guest runs on
  bool quiesce = true;                              ///< its file systems are frozen where an agent can
};

struct FreezeResult {
  base::Instant taken_at;
  bool quiesced = false;  ///< the guest's file systems were frozen for the instant
  double paused_ms = 0;
};

/// How a shadow is defined on its host.
struct ShadowDefinition {
  std::map<model::DiskName, std::string> disk_paths;
  std::map<std::string, std::string> networks;  ///< the primary's host's -> this host's; others keep their name
  model::RoleTag tag;
};

/// Parts of its time that a guest loses where it changes memory too fast to be moved.
struct Throttle {
  model::Fraction initial;
  model::Fraction increment;  ///< more each time that it was not enough
};

struct MoveRequest {
  std::string peer_uri;                                 ///< the target's libvirt as the source's host reaches it
  std::map<model::DiskName, std::string> target_paths;  ///< empty top layers, already there
  std::map<std::string, std::string> networks;
  model::RoleTag tag;  ///< what the guest is once it runs there
  std::optional<model::ByteRate> bandwidth;
  base::Millis downtime_limit{300};
  std::optional<Throttle> auto_converge{};
  bool postcopy = false;  ///< Move::start_postcopy() may be called
  bool resume = false;    ///< goes on with a migration whose post-copy has failed
};

struct MoveProgress {
  enum class State { running, done, failed };
  State state = State::running;
  model::ByteCount remaining;
  model::ByteCount processed;
  double dirty_bytes_per_s = 0;
  double bytes_per_s = 0;
  double slowed = 0;      ///< the share of its time that auto-converge takes from the guest, 0 to 1
  bool stopped = false;   ///< the guest stands on the source: its last phase there, or post-copy
  bool postcopy = false;  ///< has begun: the guest is the target's, and there is no way back
  std::string error;      ///< where it failed
};

/// A live migration under way. It goes on in the hosts if this object dies; ask both hosts for the result.
class Move {
 public:
  virtual ~Move() = default;
  virtual MoveProgress progress() = 0;
  /// Known without asking anybody.
  virtual MoveProgress::State state() = 0;
  /// Whether the guest's job on its host is this migration: nobody else's begins before it has ended.
  virtual bool holds_guest() = 0;
  virtual void set_downtime_limit(base::Millis limit) = 0;
  /// Moves the guest at once; what memory is left follows while it runs there. From here on there is no way back.
  virtual void start_postcopy() = 0;
  /// The guest runs on the target: the source's half is ended by its host, and `after` that time without it where it
  /// does not. It is left alone as long as post-copy needs it.
  virtual void let_source_end(base::Millis after) = 0;
  /// Asks for the end; progress() then tells `failed`, and the guest runs on at the source.
  virtual void abort() = 0;
};

/// Of a migration that has ended; each where the host knows it.
struct MoveFigures {
  std::optional<double> blackout_ms;
  std::optional<double> total_ms;  ///< from its beginning, the blackout in it
  std::optional<model::ByteCount> sent;
};

struct ResumeRequest {
  std::string memory_file;
  std::map<model::DiskName, std::string> disk_paths;
  bool links_down = false;  ///< network cables out
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual const model::HostName& host() const = 0;
  /// What an administrator types to do `command` to the VM on this host, for hints.
  virtual std::string by_hand(std::string_view command, const model::VmName& vm) const = 0;

  // What is there.
  virtual model::HostFacts facts() = 0;
  virtual std::vector<model::Domain> domains() = 0;
  virtual std::optional<model::Domain> find(const model::VmName& vm) = 0;
  /// The same without the sizes of its disks: whoever asks for those waits while a migration brings the guest.
  virtual std::optional<model::Domain> glance(const model::VmName& vm) { return find(vm); }
  virtual model::CpuVerdict can_run_cpu_of(const model::Domain& domain) = 0;
  /// Processes and open files by the guest agent; nothing where no agent answers.
  virtual std::optional<model::GuestActivity> guest_activity(const model::VmName& vm) = 0;

  /// Whether the guest's agent does not answer; of one that is connected it means that it hangs, or the guest does.
  virtual bool agent_is_silent(const model::VmName& vm) = 0;

  /// How fast the guest dirties memory, measured by page sampling over about a second; nothing where that can't be had.
  virtual std::optional<model::ByteRate> dirty_rate(const model::VmName& vm) = 0;
  /// Begins that measurement and returns; the next dirty_rate() waits for its end.
  virtual void begin_dirty_rate(const model::VmName&) {}

  // Definitions. A shadow is defined off, autostart off.
  virtual void define_shadow(const model::Domain& primary, const ShadowDefinition& definition) = 0;
  virtual void undefine(const model::VmName& vm) = 0;  ///< with its checkpoints' metadata; nothing where it is absent
  /// Role none with epoch 0 removes the tag.
  virtual void set_tag(const model::VmName& vm, const model::RoleTag& tag) = 0;
  virtual void set_autostart(const model::VmName& vm, bool on) = 0;

  // Change tracking.
  virtual std::vector<model::CheckpointName> checkpoints(const model::VmName& vm) = 0;  ///< oldest first
  /// The file that each disk in that checkpoint stood on when it was made; none of those of which that can't be told.
  virtual std::map<model::DiskName, std::string> checkpoint_files(const model::VmName& vm,
                                                                  const model::CheckpointName& name) = 0;
  /// What the running guest wrote since; nothing where that can't be told.
  virtual std::optional<model::ByteCount> written_since(const model::VmName& vm, const model::CheckpointName& name) = 0;
  /// With its bitmaps; those of a checkpoint that was left behind by a migration go too. Again: nothing is left to do.
  virtual void delete_checkpoint(const model::VmName& vm, const model::CheckpointName& name) = 0;
  /// Kind::corrupt where the bitmap of `since` is gone or inconsistent: the disk must then be read whole.
  virtual std::unique_ptr<BackupJob> begin_backup(const model::VmName& vm, const BackupRequest& request) = 0;
  /// Ends a backup job that another run of Umbra left behind. True where there was one; a job of another kind goes on.
  virtual bool end_stale_backup(const model::VmName& vm) = 0;

  // Layers of a running guest.
  virtual FreezeResult freeze(const model::VmName& vm, const FreezeRequest& request) = 0;
  /// Lets a running guest's file systems go on that a freeze has left frozen, its host's libvirt having died in it;
  /// nothing where they do, or where no agent answers.
  virtual void thaw(const model::VmName&) {}
  /// Commits everything above `down_to[disk]` into it, live, and goes on on it. The files above are left behind. Goes
  /// on with what one that was cut off had begun.
  virtual void fold(const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to) = 0;

  // Moving.
  virtual std::unique_ptr<Move> begin_move(const model::VmName& vm, const MoveRequest& request) = 0;
  /// Of the last migration that ended here, where libvirt still knows it.
  virtual MoveFigures last_move(const model::VmName& vm) = 0;
  /// Begins to repeat the guest's L2 announcement; the future tells whether the host took it, however long it is
  /// silent.
  virtual std::future<void> announce(const model::VmName& vm) = 0;

  // Power.
  virtual void start(const model::VmName& vm) = 0;
  virtual void resume(const model::VmName& vm) = 0;
  virtual void destroy(const model::VmName& vm) = 0;  ///< pulls the plug; nothing where it is off
  virtual void restore(const model::VmName& vm, const ResumeRequest& request) = 0;
};

/// The hypervisors of a run, connected when first asked for.
class Hypervisors {
 public:
  virtual ~Hypervisors() = default;
  /// Kind::not_found for a host that is not configured, Kind::unreachable for one that does not answer.
  virtual Hypervisor& at(const model::HostName& host) = 0;
  virtual std::vector<model::HostName> names() const = 0;
};

}  // namespace umbra::ports
