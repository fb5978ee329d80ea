// SPDX-License-Identifier: Apache-2.0
// Live migration of memory and top layers, peer to peer: the hosts carry it through even if this process dies.
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "adapters/virt/errors.hpp"
#include "adapters/virt/jobs.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "adapters/virt/params.hpp"
#include "adapters/virt/units.hpp"
#include "adapters/virt/xml_edit.hpp"

namespace umbra::virt {

namespace {

constexpr unsigned page_size = 4096;

/// Libvirt takes whole MiB/s, and 0 for "no limit".
unsigned long mib_per_s(model::ByteRate rate) {
  return static_cast<unsigned long>(std::max(1.0, std::round(rate.value / mib)));
}

/// What the thread in the migration call and the one that steers share.
struct Outcome {
  std::mutex mutex;
  ports::MoveProgress::State state = ports::MoveProgress::State::running;
  std::string error;
};

TypedParams migration_params(const ports::MoveRequest& request, const std::string& live_xml,
                             const std::string& defined_xml) {
  TypedParams params;
  params.add(VIR_MIGRATE_PARAM_DEST_XML, move_xml(live_xml, request));
  params.add(VIR_MIGRATE_PARAM_PERSIST_XML, move_xml(defined_xml, request));
  for (const auto& [disk, path] : request.target_paths) params.add(VIR_MIGRATE_PARAM_MIGRATE_DISKS, disk.get());
  if (request.bandwidth)
    params.add(VIR_MIGRATE_PARAM_BANDWIDTH, static_cast<unsigned long long>(mib_per_s(*request.bandwidth)));
  return params;
}

/// The call that lasts as long as the migration. Its connection is its own: steering from the one that waits in it may
/// not be heard.
void run_migration(const Connection& connection, const model::VmName& vm, const std::string& peer_uri,
                   TypedParams& params, Outcome& outcome) noexcept {
  std::string error;
  try {
    const DomainHandle domain = connection.domain(vm);
    const unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PERSIST_DEST |
                           VIR_MIGRATE_NON_SHARED_INC | VIR_MIGRATE_ABORT_ON_ERROR;
    check(virDomainMigrateToURI3(domain.get(), peer_uri.c_str(), params.data(), params.count(), flags),
          connection.act("move", vm));
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  const std::lock_guard lock(outcome.mutex);
  outcome.state = error.empty() ? ports::MoveProgress::State::done : ports::MoveProgress::State::failed;
  outcome.error = std::move(error);
}

class LibvirtMove final : public ports::Move {
 public:
  LibvirtMove(std::shared_ptr<Connection> steering, DomainHandle domain)
      : m_steering(std::move(steering)), m_domain(std::move(domain)) {}

  void launch(const model::VmName& vm, const std::string& peer_uri, TypedParams params) {
    auto runner = std::make_shared<Connection>(m_steering->host(), m_steering->uri());
    // Detached: the migration goes on in the hosts without this object, and its call cannot be called back.
    std::thread([runner, vm, peer_uri, outcome = m_outcome, params = std::move(params)]() mutable {
      run_migration(*runner, vm, peer_uri, params, *outcome);
    }).detach();
  }

  ports::MoveProgress progress() override {
    ports::MoveProgress progress;
    {
      const std::lock_guard lock(m_outcome->mutex);
      progress.state = m_outcome->state;
      progress.error = m_outcome->error;
    }
    if (progress.state == ports::MoveProgress::State::running) add_figures(progress);
    return progress;
  }

  void set_downtime_limit(base::Millis limit) override {
    const auto ms = static_cast<unsigned long long>(std::max<base::Millis::rep>(1, limit.count()));
    check(virDomainMigrateSetMaxDowntime(m_domain.get(), ms, 0), act("set the allowed blackout of"));
  }

  void abort() override {
    const std::string what = act("abort the move of");
    if (virDomainAbortJob(m_domain.get()) == 0) return;
    const Failure failure = last_failure();
    if (failure.code != VIR_ERR_OPERATION_INVALID) throw to_error(failure, what);  // else it has ended by itself
  }

 private:
  std::string act(std::string_view verb) const { return m_steering->act(verb, model::VmName(name_of(m_domain.get()))); }

  /// Before the job begins and after it ended there are none: they stay 0.
  void add_figures(ports::MoveProgress& progress) {
    int type = 0;
    TypedParams stats;
    if (virDomainGetJobStats(m_domain.get(), &type, stats.receive_list(), stats.receive_count(), 0) < 0) return;
    if (type == VIR_DOMAIN_JOB_NONE) return;
    progress.remaining = {stats.number(VIR_DOMAIN_JOB_DATA_REMAINING).value_or(0)};
    progress.processed = {stats.number(VIR_DOMAIN_JOB_DATA_PROCESSED).value_or(0)};
    const double pages = static_cast<double>(stats.number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE).value_or(0));
    progress.dirty_bytes_per_s =
        pages * static_cast<double>(stats.number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE).value_or(page_size));
    progress.bytes_per_s = static_cast<double>(stats.number(VIR_DOMAIN_JOB_MEMORY_BPS).value_or(0) +
                                               stats.number(VIR_DOMAIN_JOB_DISK_BPS).value_or(0));
  }

  std::shared_ptr<Connection> m_steering;
  DomainHandle m_domain;
  std::shared_ptr<Outcome> m_outcome = std::make_shared<Outcome>();
};

}  // namespace

std::unique_ptr<ports::Move> LibvirtHypervisor::begin_move(const model::VmName& vm, const ports::MoveRequest& request) {
  DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("move", vm);
  if (!is_active(domain.get())) throw base::Error(base::Kind::refused, what + ": it is off");
  refuse_while_busy(domain.get(), what);
  const std::string live_xml = domain_xml_of(domain.get(), false, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE);
  const std::string defined_xml = domain_xml_of(domain.get(), true, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE);
  TypedParams params = migration_params(request, live_xml, defined_xml);
  auto move = std::make_unique<LibvirtMove>(m_connection, std::move(domain));
  move->set_downtime_limit(request.downtime_limit);  // QEMU keeps it for the migration that begins next
  move->launch(vm, request.peer_uri, std::move(params));
  return move;
}

std::optional<double> LibvirtHypervisor::last_blackout_ms(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  int type = 0;
  TypedParams stats;
  const unsigned flags = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
  if (virDomainGetJobStats(domain.get(), &type, stats.receive_list(), stats.receive_count(), flags) < 0) {
    const Failure failure = last_failure();
    if (kind_of(failure) == base::Kind::unreachable)
      throw to_error(failure, m_connection->act("ask the blackout of", vm));
    return std::nullopt;
  }
  if (type != VIR_DOMAIN_JOB_COMPLETED) return std::nullopt;
  const auto operation = stats.number(VIR_DOMAIN_JOB_OPERATION);
  if (operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT && operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN) {
    return std::nullopt;
  }
  const auto ms = stats.number(VIR_DOMAIN_JOB_DOWNTIME);
  return ms ? std::optional<double>(static_cast<double>(*ms)) : std::nullopt;
}

void LibvirtHypervisor::announce(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  // Times in ms: five frames per NIC, spread over 1 s, as a switch may still be learning.
  const char* command = R"({"execute":"announce-self","arguments":{"initial":50,"max":550,"rounds":5,"step":100}})";
  char* answer = nullptr;
  const int result =
      virDomainQemuMonitorCommand(domain.get(), command, &answer, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
  const Text owned(answer);
  check(result, m_connection->act("announce", vm));
}

}  // namespace umbra::virt
