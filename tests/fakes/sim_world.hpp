// SPDX-License-Identifier: Apache-2.0
#pragma once
// A simulated pair of hosts behind the ports: files with backing chains, domains, migrations, points, a journal, a
// registry, a clock. It outlives any run of Umbra. Every port call is an event: the running guest writes a numbered
// block, a migration goes on a little, the invariants are checked, and a fault may strike before or after the call's
// effect.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/domain.hpp"
#include "model/points.hpp"
#include "ports/hypervisor.hpp"
#include "ports/store.hpp"

namespace umbra::fakes {

/// Umbra died here. No base::Error, so that nothing but the harness catches it.
struct SimCrash {};
/// An invariant is broken: the walk did harm.
struct SimViolation {
  std::string what;
};

class SimWorld;

struct Fault {
  enum class Kind {
    crash,  ///< Umbra dies
    error,  ///< the call fails
    blow    ///< something else does: `blow`
  };
  enum class When {
    before,
    unsynced,  ///< of the journal: written, not synced; where Umbra dies, it does with its machine, and the entry is
               ///< lost
    after
  };
  Kind kind = Kind::crash;
  When when = When::before;
  std::size_t at = 0;  ///< the port call that it strikes, the first is 1
  std::function<void(SimWorld&)> blow{};
};

/// One qcow2 file: block -> the number that the guest wrote there.
struct SimFile {
  model::ByteCount size;
  std::string backing;
  std::map<std::uint64_t, std::uint64_t> blocks;
  std::map<std::string, std::set<std::uint64_t>> bitmaps;
};

struct SimDomain {
  std::optional<model::Domain> defined;  ///< the persistent definition; its state is off
  std::optional<model::Domain> live;     ///< where it is active
  std::vector<model::CheckpointName> checkpoints;
  bool fs_frozen = false;  ///< the guest's file systems: it writes nothing until they are thawed
  std::map<model::DiskName, std::string> commits{};  ///< active ones under way, each with its base; while `live->job`
};

struct SimPoint {
  model::PointInfo info;
  model::Manifest manifest;
  std::string activity{};
};

struct SimShadow {
  model::VmName vm;
  std::map<model::PointNumber, SimPoint> points;
  std::map<std::string, std::map<model::DiskName, std::string>> tops;  ///< purpose -> files
};

/// A memory image: of what the disks held at its instant. Resumed over anything else it would corrupt them.
struct SimMemory {
  std::map<model::DiskName, std::map<std::uint64_t, std::uint64_t>> disks;
  bool damaged = false;  ///< it can't be resumed
};

struct SimHost {
  model::HostFacts facts;
  model::CpuVerdict cpu;
  model::ByteCount free{1ull << 40};
  bool reachable = true;
  bool start_hook = true;   ///< Umbra's rule stands in libvirt's hook
  bool is_down = false;     ///< the host itself, not its libvirtd alone
  unsigned back_after = 0;  ///< events until it answers again; 0: it stays as it is
  std::map<std::string, SimFile> files;
  std::map<model::VmName, SimDomain> domains;
  std::map<model::ShadowId, SimShadow> shadows;
  std::map<std::string, SimMemory> memories;  ///< by file
};

/// A live migration. It goes on whatever becomes of the process that asked for it.
struct SimMigration {
  model::VmName vm;
  model::HostName from;
  model::HostName to;
  ports::MoveRequest request;
  int rounds = 4;          ///< events until the guest stops
  bool stopped = false;    ///< both sides stand paused
  bool suspended = false;  ///< by hand, before that: it stays so wherever it ends
  bool abort = false;
  bool arrived = false;  ///< the guest runs on the target; `rounds` until its half on the source ends
  bool postcopy_asked = false;
  bool postcopy = false;  ///< that half is needed until then
  bool unheard = false;   ///< a libvirtd does not know that it has arrived: that half stands until somebody ends it
  ports::MoveProgress::State state = ports::MoveProgress::State::running;
  std::string error{};
  /// When the source's libvirt, to which the target's answer is lost, takes it for failed, and lets the guest go on.
  std::optional<base::Millis> given_up{};
};

/// How migrations behave here.
struct SimLink {
  bool fails_early = false;      ///< in pre-copy
  bool fails_late = false;       ///< when the guest stands on both sides
  bool fails_at_start = false;   ///< the target can't start its CPUs; its definition is the VM's by then, and stays so
  unsigned stands_for = 1;       ///< events for which both sides stand paused
  base::Millis converges_at{0};  ///< only where that much blackout is allowed
  bool is_cut = false;           ///< between the hosts; Umbra reaches both
  unsigned heals_after = 0;      ///< events until it holds again; 0: it stays as it is
  unsigned ends_after = 2;       ///< events until the source's half of an arrived guest ends; in post-copy, thrice that
  /// What strikes while the guest stands does so after QEMU has handed it over, and ...
  bool handed_over = false;
  bool persists = false;         ///< ... after the target's libvirt has made its definition the VM's
  bool arrives_unheard = false;  ///< ... after that has let it go on there, too, before its answer
};

/// What the guest was told is on its disks.
struct SimGuest {
  bool idle = false;                               ///< writes nothing
  bool has_agent = false;                          ///< one that freezes file systems
  std::optional<model::GuestActivity> activity{};  ///< absent: no agent answers
  std::uint64_t last = 0;
  std::map<model::DiskName, std::map<std::uint64_t, std::uint64_t>> acknowledged;
};

class SimWorld {
 public:
  std::map<model::HostName, SimHost> hosts;
  std::map<model::VmName, SimGuest> guests;
  std::optional<SimMigration> migration;
  SimLink link;
  bool guarded = false;      ///< what QEMU has open is cut as soon as the link is, what was handed over is held
  bool guard_holds = true;   ///< else it does not hold
  bool held = false;         ///< libvirt could not let the guest go on, since the guard held it
  bool agent_hangs = false;  ///< of guests that have one
  // What Umbra keeps.
  std::vector<ports::Walk> walks;
  std::map<std::int64_t, std::vector<ports::JournalEntry>> entries;
  std::map<model::Uuid, model::Epoch> epochs;
  std::map<model::VmName, ports::ShadowRow> registry;
  std::set<model::VmName> leases;
  // Time and faults.
  base::Millis time{1'000'000'000'000};
  std::optional<Fault> fault;
  std::size_t calls = 0;
  std::vector<std::string> trace;  ///< the calls of this run, in order

  /// One port call of a run: an event, then `effect`, with the fault where it is due.
  template <class Effect>
  auto call(const std::string& name, Effect effect) {
    enter(name);
    if constexpr (std::is_void_v<decltype(effect())>) {
      effect();
      leave(Fault::When::after);
    } else {
      auto result = effect();
      leave(Fault::When::after);
      return result;
    }
  }
  /// A new process: faults are over, what the old one held in memory is gone.
  void new_run();
  /// Time goes on: the guest writes, a migration advances.
  void event();
  /// What is written to the journal is on disk by then; called by its every write. `lose` takes it back.
  void written(const std::function<void()>& lose);
  bool journal_syncs = true;  ///< else what was written since the run began is lost when Umbra dies

  /// Whether both halves of a guest are there whose post-copy has failed, and can reach each other.
  bool can_resume_postcopy();
  void resume_postcopy();

  // What may happen at any time.
  void kill_qemu(const model::HostName& name, const model::VmName& vm);
  void stop_libvirtd(const model::HostName& name, unsigned events);
  void crash_host(const model::HostName& name, unsigned events);
  void cut_link(unsigned events);  ///< 0: until heal()
  /// Cut off from the other hosts and from Umbra; what is on it goes on.
  void isolate(const model::HostName& name, unsigned events);
  /// A backup tool puts a layer over each disk of a running guest, as `virsh snapshot-create-as --disk-only
  /// --no-metadata` does. False where libvirt refuses it, since a job holds the guest.
  bool put_layer(const model::HostName& name, const model::VmName& vm);
  void heal();
  /// Nothing runs on the host any more. What a guest was told since its newest point elsewhere is forgotten: that is
  /// the loss that is told.
  void cut_power(const model::HostName& name);
  /// Throws SimViolation where two run, or a running guest's disk is not what it was told.
  void check() const;
  [[noreturn]] static void violation(const std::string& what) { throw SimViolation{what}; }

  /// What Umbra's rule in libvirt's hook of the host says to a start there, having asked the other hosts.
  std::optional<base::Error> objection_to_start(const model::HostName& on, const model::Domain& starting) const;

  SimHost& host(const model::HostName& name);
  /// The number that a reader of `path`'s chain finds; 0 where none was written.
  static std::uint64_t read(const SimHost& host, const std::string& path, std::uint64_t block);
  static std::vector<std::string> chain(const SimHost& host, const std::string& path);
  /// Whether an active guest on `host` stands on the file.
  static bool in_use(const SimHost& host, const std::string& path);
  std::vector<model::HostName> running_on(const model::VmName& vm) const;
  /// Files that a walk made and that nothing names any more.
  std::vector<std::string> leftovers() const;

  // Building a scene.
  void add_host(const std::string& name);
  void add_vm(const model::VmName& vm, const model::HostName& host, unsigned disks, std::uint64_t blocks);
  /// What a pass of replication leaves: a definition, the next point, a checkpoint on the primary.
  void replicate(const model::VmName& vm, const model::HostName& primary, const model::HostName& to,
                 const model::ShadowId& id);
  /// Gives the newest point there a memory image.
  void add_memory(const model::HostName& host, const model::ShadowId& id);

 private:
  void enter(const std::string& name);
  void leave(Fault::When when);
  void strike();
  void write(const model::VmName& vm, SimHost& host, model::Domain& domain);
  void advance_migration();
  void persist();
  void mirror();
  void arrive();
  void begin_postcopy();
  void advance_arrived();
  void fail_postcopy();
  void fail_migration(const std::string& why);
  void lose_answer(base::Millis patience);
  void give_up_answer();
  bool hands_over_unheard();
  void end_migration_of(const model::HostName& name);
  void bring_back(SimHost& host);
  std::vector<std::function<void()>> m_unsynced;
  bool m_dead = false;
};

/// The digest of a block that holds `number`; all-zero for 0.
base::Digest sim_digest(std::uint64_t number);
/// The bytes of such a block: the number in the first eight, then zeroes.
std::vector<std::byte> sim_block(std::uint64_t number);
std::string sim_point_path(const model::ShadowId& id, model::PointNumber point, const model::DiskName& disk);

}  // namespace umbra::fakes
