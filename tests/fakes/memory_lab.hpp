// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small lab in memory: hosts with domains, their disks as files with dirty bitmaps, backup jobs, freezes and folds, a
// transport between them, and a clock that only moves when it is told to. Every call of a port can be made to fail.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "fakes/memory_points.hpp"
#include "ports/context.hpp"
#include "ports/store.hpp"

namespace umbra::fakes {

/// Starts at 2026-11-24T10:00:00Z; pause() and advance() are all that moves it.
class LabClock : public base::Clock {
 public:
  base::Instant now() const override;
  base::Millis steady() const override { return m_passed; }
  void pause(base::Millis most) override { m_passed += most; }
  void advance(base::Seconds span);

 private:
  base::Millis m_passed{0};
};

using Bitmaps = std::map<std::string, std::set<std::uint64_t>>;

struct LabHost {
  MemoryHost storage;
  std::map<model::VmName, model::Domain> domains;
  std::map<model::VmName, std::vector<model::CheckpointName>> checkpoints;
  std::map<model::CheckpointName, std::map<model::DiskName, std::string>> checkpoint_files;
  std::map<std::string, Bitmaps> bitmaps;  ///< by file
  bool stale_job = false;                  ///< what domain.job stands for is a backup of Umbra's
  std::map<model::VmName, MemoryImage> memory;
  std::map<model::VmName, model::GuestActivity> activity;  ///< absent: no agent answers
  std::set<model::VmName> links_down;
  std::map<model::VmName, std::map<model::DiskName, std::string>>
      defined_on;  ///< where a restored domain's disks lie otherwise
  unsigned definitions = 0;
};

class MemoryLab {
 public:
  MemoryLab();
  ~MemoryLab();

  /// "alpha" and "beta" are there from the start.
  LabHost& host(const std::string& name);
  void add_host(const std::string& name) { m_hosts[name]; }
  /// A running VM with qcow2 disks named vda, vdb … of these sizes.
  model::Domain& add_vm(const std::string& host, const std::string& vm, const std::vector<std::uint64_t>& sizes);
  /// The guest writes `count` bytes of `value`.
  void write(const std::string& host, const std::string& vm, const std::string& disk, std::uint64_t offset,
             std::uint64_t count, unsigned char value);
  const MemoryImage& disk(const std::string& host, const std::string& vm, const std::string& disk);

  /// The nth call from now on (0 is the next) fails with `kind`; the ones after it work again.
  void fail_call(unsigned nth, base::Kind kind = base::Kind::unreachable);
  /// Every call of that name fails from now on; an empty name ends it.
  void fail_named(const std::string& name, base::Kind kind = base::Kind::io);
  unsigned calls() const { return m_calls; }
  bool failed() const { return m_failed; }
  void forget_failures();
  unsigned count_of(const std::string& name) const;

  ports::Context context();
  LabClock clock;
  base::CancelToken cancel;
  ports::ProgressCall progress;
  unsigned open_jobs = 0;
  /// Called when a part is opened for reading: what the guest does meanwhile.
  std::function<void()> on_open;
  /// Called before each call acts, with its name.
  CallHook on_call;

 private:
  friend class LabHypervisor;
  friend class LabTransport;
  friend class LabJob;
  struct Switchboard;
  void call(const std::string& name);

  std::map<std::string, LabHost> m_hosts;
  std::map<std::string, std::unique_ptr<ports::BlockSource>> m_exports;  ///< by URI
  std::unique_ptr<Switchboard> m_switchboard;
  unsigned m_calls = 0;
  std::optional<unsigned> m_fail_at;
  std::string m_fail_name;
  base::Kind m_fail_kind = base::Kind::io;
  bool m_failed = false;
  std::map<std::string, unsigned> m_counts;
};

class MemoryShadows : public ports::ShadowRegistry {
 public:
  void put(const ports::ShadowRow& row) override;
  std::optional<ports::ShadowRow> find(const model::VmName& vm) override;
  std::vector<ports::ShadowRow> all() override;
  void remove(const model::Uuid& vm_uuid) override;
  bool fail_put = false;

 private:
  std::map<model::Uuid, ports::ShadowRow> m_rows;
};

class MemoryPool : public ports::PoolRegistry {
 public:
  void put(const ports::PoolRow& row) override { m_rows[row.id] = row; }
  std::vector<ports::PoolRow> all() override;
  bool take(const model::ShadowId& id) override { return m_rows.erase(id) == 1; }

 private:
  std::map<model::ShadowId, ports::PoolRow> m_rows;
};

}  // namespace umbra::fakes
