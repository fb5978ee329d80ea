// SPDX-License-Identifier: Apache-2.0
#pragma once
// The ports of one run of Umbra over a simulated world. They hold nothing of their own: a new run makes new ones.

#include <functional>
#include <memory>

#include "base/cancel.hpp"
#include "fakes/sim_world.hpp"
#include "ports/store.hpp"
#include "ports/switching.hpp"
#include "ports/transport.hpp"

namespace umbra::fakes {

class SimHypervisor : public ports::Hypervisor {
 public:
  SimHypervisor(SimWorld& world, model::HostName host) : m_world(world), m_name(std::move(host)) {}
  const model::HostName& host() const override { return m_name; }
  std::string by_hand(std::string_view command, const model::VmName& vm) const override {
    return "virsh -c sim://" + m_name.get() + " " + std::string(command) + " " + vm.get();
  }
  model::HostFacts facts() override;
  std::vector<model::Domain> domains() override;
  std::optional<model::Domain> find(const model::VmName& vm) override;
  std::optional<model::Domain> glance(const model::VmName& vm) override;
  model::CpuVerdict can_run_cpu_of(const model::Domain& domain) override;
  std::optional<model::ByteRate> dirty_rate(const model::VmName& vm) override;
  std::optional<model::GuestActivity> guest_activity(const model::VmName& vm) override;
  bool agent_is_silent(const model::VmName& vm) override;
  void define_shadow(const model::Domain& primary, const ports::ShadowDefinition& definition) override;
  void undefine(const model::VmName& vm) override;
  void set_tag(const model::VmName& vm, const model::RoleTag& tag) override;
  void set_autostart(const model::VmName& vm, bool on) override;
  std::vector<model::CheckpointName> checkpoints(const model::VmName& vm) override;
  std::map<model::DiskName, std::string> checkpoint_files(const model::VmName& vm,
                                                          const model::CheckpointName& name) override;
  std::optional<model::ByteCount> written_since(const model::VmName&, const model::CheckpointName&) override {
    return std::nullopt;
  }
  void delete_checkpoint(const model::VmName& vm, const model::CheckpointName& name) override;
  std::unique_ptr<ports::BackupJob> begin_backup(const model::VmName& vm, const ports::BackupRequest& request) override;
  bool end_stale_backup(const model::VmName& vm) override;
  ports::FreezeResult freeze(const model::VmName& vm, const ports::FreezeRequest& request) override;
  void thaw(const model::VmName& vm) override;
  void fold(const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to) override;
  std::unique_ptr<ports::Move> begin_move(const model::VmName& vm, const ports::MoveRequest& request) override;
  ports::MoveFigures last_move(const model::VmName& vm) override;
  std::future<void> announce(const model::VmName& vm) override;
  void start(const model::VmName& vm) override;
  void resume(const model::VmName& vm) override;
  void destroy(const model::VmName& vm) override;
  void restore(const model::VmName& vm, const ports::ResumeRequest& request) override;

 private:
  template <class Effect>
  auto call(const std::string& name, Effect effect) {
    return m_world.call(m_name.get() + " " + name, [&] {
      if (!at().reachable) throw base::Error(base::Kind::unreachable, m_name.get() + " does not answer");
      return effect();
    });
  }
  SimHost& at() { return m_world.host(m_name); }
  SimDomain& domain(const model::VmName& vm);
  model::Domain& live(const model::VmName& vm);
  std::optional<model::Domain> seen(const model::VmName& vm);
  void pivot(const model::VmName& vm, const model::DiskName& disk);
  SimWorld& m_world;
  model::HostName m_name;
};

class SimHypervisors : public ports::Hypervisors {
 public:
  explicit SimHypervisors(SimWorld& world);
  ports::Hypervisor& at(const model::HostName& host) override;
  std::vector<model::HostName> names() const override;

 private:
  std::map<model::HostName, SimHypervisor> m_hosts;
};

class SimTransport : public ports::Transport {
 public:
  explicit SimTransport(SimWorld& world) : m_world(world) {}
  std::unique_ptr<ports::PointStore> connect(const model::HostName& host) override;
  std::unique_ptr<ports::BlockSource> open(const ports::NbdExport& nbd) override;
  std::unique_ptr<ports::BlockSource> open(const model::HostName& host, const ports::FileExport& file) override;
  std::unique_ptr<ports::MoveGuard> guard_move(const model::HostName& host, const model::Uuid& vm,
                                               const std::vector<std::string>& images) override;
  bool end_guard(const model::HostName& host, const model::Uuid& vm) override;

 private:
  SimWorld& m_world;
};

/// Every call is synced when it returns.
class SimJournal : public ports::Journal {
 public:
  explicit SimJournal(SimWorld& world) : m_world(world) {}
  std::int64_t open_walk(const ports::Walk& walk) override;
  void append(std::int64_t walk, const ports::JournalEntry& entry) override;
  std::vector<ports::JournalEntry> entries(std::int64_t walk) override;
  void close_walk(std::int64_t walk, const std::string& state) override;
  std::vector<ports::Walk> open_walks() override;
  std::vector<ports::Walk> walks(const model::Uuid& vm) override;
  model::Epoch epoch(const model::Uuid& vm) override;
  void raise_epoch(const model::Uuid& vm, model::Epoch epoch) override;

 private:
  SimWorld& m_world;
};

class SimRegistry : public ports::ShadowRegistry {
 public:
  explicit SimRegistry(SimWorld& world) : m_world(world) {}
  void put(const ports::ShadowRow& row) override;
  std::optional<ports::ShadowRow> find(const model::VmName& vm) override;
  std::vector<ports::ShadowRow> all() override;
  void remove(const model::Uuid& vm_uuid) override;

 private:
  SimWorld& m_world;
};

class SimLeases : public ports::Leases {
 public:
  explicit SimLeases(SimWorld& world) : m_world(world) {}
  std::unique_ptr<ports::Lease> acquire(const model::VmName& vm, base::Millis wait) override;

 private:
  SimWorld& m_world;
};

class SimClock : public base::Clock {
 public:
  explicit SimClock(SimWorld& world) : m_world(world) {}
  base::Instant now() const override { return base::Instant(m_world.time); }
  base::Millis steady() const override { return m_world.time; }
  void pause(base::Millis most) override;

 private:
  SimWorld& m_world;
};

class SimRedirector : public ports::Redirector {
 public:
  SimRedirector(SimWorld& world, std::string name) : m_world(world), m_name(std::move(name)) {}
  std::string name() const override { return m_name; }
  unsigned retries() const override { return allowed_retries; }
  ports::HookResult redirect(const ports::Redirection& redirection) override;
  std::string look() override { return "it is there"; }
  ports::HookResult answer;
  unsigned allowed_retries = 0;
  unsigned fails_at_first = 0;  ///< so many calls, whatever `answer` says
  std::function<void()> on_call;
  std::vector<ports::Redirection> calls;

 private:
  SimWorld& m_world;
  std::string m_name;
};

/// Cuts a host's power, where its answer is yes; what its guests had been told since their newest point is gone with
/// it.
class SimFence : public ports::Fence {
 public:
  explicit SimFence(SimWorld& world) : m_world(world) {}
  ports::HookResult fence(const model::HostName& host) override;
  ports::HookResult answer;

 private:
  SimWorld& m_world;
};

class SimProbe : public ports::Probe {
 public:
  explicit SimProbe(SimWorld& world) : m_world(world) {}
  std::string name() const override { return "probe"; }
  ports::HookResult check(const std::string& record) override;
  std::string look() override { return "it answers"; }
  ports::HookResult answer;

 private:
  SimWorld& m_world;
};

}  // namespace umbra::fakes
