// SPDX-License-Identifier: Apache-2.0
#pragma once
// The Hypervisor port over one connection. Its methods are written by meaning: inventory.cpp, tracking.cpp, layers.cpp,
// moving.cpp, power.cpp, agent.cpp, dirty_rate.cpp.

#include <memory>
#include <optional>
#include <set>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/facts.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::virt {

class LibvirtHypervisor final : public ports::Hypervisor {
 public:
  explicit LibvirtHypervisor(std::shared_ptr<Connection> connection);

  const model::HostName& host() const override { return m_connection->host(); }
  std::string by_hand(std::string_view command, const model::VmName& vm) const override {
    return m_connection->virsh(command, vm);
  }

  model::HostFacts facts() override;
  std::vector<model::Domain> domains() override;
  std::optional<model::Domain> find(const model::VmName& vm) override;
  std::optional<model::Domain> glance(const model::VmName& vm) override;
  model::CpuVerdict can_run_cpu_of(const model::Domain& domain) override;
  std::optional<model::GuestActivity> guest_activity(const model::VmName& vm) override;
  bool agent_is_silent(const model::VmName& vm) override;
  std::optional<model::ByteRate> dirty_rate(const model::VmName& vm) override;
  void begin_dirty_rate(const model::VmName& vm) override;

  void define_shadow(const model::Domain& primary, const ports::ShadowDefinition& definition) override;
  void undefine(const model::VmName& vm) override;
  void set_tag(const model::VmName& vm, const model::RoleTag& tag) override;
  void set_autostart(const model::VmName& vm, bool on) override;

  std::vector<model::CheckpointName> checkpoints(const model::VmName& vm) override;
  std::map<model::DiskName, std::string> checkpoint_files(const model::VmName& vm,
                                                          const model::CheckpointName& name) override;
  std::optional<model::ByteCount> written_since(const model::VmName& vm, const model::CheckpointName& name) override;
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
  std::shared_ptr<Connection> m_connection;
  std::string m_capabilities;           ///< read once: a host's CPU stays
  std::set<model::VmName> m_measuring;  ///< whose dirty rate is being measured
  std::optional<CpuTimes> m_cpu_times;  ///< of the look before, for the share used since
};

}  // namespace umbra::virt
