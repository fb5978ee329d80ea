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
#include "base/log.hpp"

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

int percent(model::Fraction part) {
  return static_cast<int>(std::lround(part.value * 100));
}

TypedParams migration_params(const ports::MoveRequest& request, const std::string& live_xml,
                             const std::string& defined_xml) {
  TypedParams params;
  params.add(VIR_MIGRATE_PARAM_DEST_XML, move_xml(live_xml, request));
  params.add(VIR_MIGRATE_PARAM_PERSIST_XML, move_xml(defined_xml, request));
  for (const auto& [disk, path] : request.target_paths) params.add(VIR_MIGRATE_PARAM_MIGRATE_DISKS, disk.get());
  if (request.bandwidth)
    params.add(VIR_MIGRATE_PARAM_BANDWIDTH, static_cast<unsigned long long>(mib_per_s(*request.bandwidth)));
  if (request.auto_converge) {
    params.add(VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, percent(request.auto_converge->initial));
    params.add(VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, percent(request.auto_converge->increment));
  }
  return params;
}

/// Never VIR_MIGRATE_PARALLEL: with post-copy QEMU's target aborts while the source says that all went well.
unsigned migration_flags(const ports::MoveRequest& request) {
  unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_NON_SHARED_INC |
                   VIR_MIGRATE_ABORT_ON_ERROR;
  if (request.auto_converge) flags |= VIR_MIGRATE_AUTO_CONVERGE;
  if (request.postcopy) flags |= VIR_MIGRATE_POSTCOPY;
  if (request.resume) flags |= VIR_MIGRATE_POSTCOPY_RESUME;
  return flags;
}

/// The call that lasts as long as the migration. Its connection is its own: steering from the one that waits in it may
/// not be heard.
void run_migration(const Connection& connection, const model::VmName& vm, const std::string& peer_uri,
                   TypedParams& params, unsigned flags, Outcome& outcome) noexcept {
  std::string error;
  try {
    const DomainHandle domain = connection.domain(vm);
    check(virDomainMigrateToURI3(domain.get(), peer_uri.c_str(), params.data(), params.count(), flags),
          connection.act("move", vm));
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  const std::lock_guard lock(outcome.mutex);
  outcome.state = error.empty() ? ports::MoveProgress::State::done : ports::MoveProgress::State::failed;
  outcome.error = std::move(error);
}

/// What stands on the source beside the guest that runs on the target is libvirt's to end, as soon as the target has
/// told it. Were that answer lost, it would let the guest go on there too, once its keepalive has given up.
void end_source(const Connection& connection, const model::VmName& vm, Outcome& outcome, base::Millis after) noexcept {
  const auto goes_on = [&] {
    const std::lock_guard lock(outcome.mutex);
    return outcome.state == ports::MoveProgress::State::running;
  };
  try {
    if (base::wait_until(base::system_clock(), after, base::Millis{50}, [&] { return !goes_on(); })) return;
    const DomainHandle domain = connection.find_domain(vm);
    int state = 0;
    int reason = 0;
    if (!domain || virDomainGetState(domain.get(), &state, &reason, 0) < 0 || state == VIR_DOMAIN_SHUTOFF) return;
    const bool needed = state == VIR_DOMAIN_PAUSED &&
                        (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
    if (needed || !goes_on()) return;
    virDomainDestroy(domain.get());
  } catch (const std::exception& failure) {
    base::log(base::Level::warning, fmt::format("{}: its half on {} is not ended yet: {}", vm.get(),
                                                connection.host().get(), failure.what()));
  }
}

/// What libvirt tells of the job under way; nothing where there is none.
std::optional<TypedParams> job_stats(_virDomain* domain) {
  int type = 0;
  TypedParams stats;
  if (virDomainGetJobStats(domain, &type, stats.receive_list(), stats.receive_count(), 0) < 0) return std::nullopt;
  if (type == VIR_DOMAIN_JOB_NONE) return std::nullopt;
  return stats;
}

class LibvirtMove final : public ports::Move {
 public:
  LibvirtMove(std::shared_ptr<Connection> steering, DomainHandle domain)
      : m_steering(std::move(steering)), m_domain(std::move(domain)) {}

  void launch(const model::VmName& vm, const std::string& peer_uri, TypedParams params, unsigned flags) {
    auto runner = std::make_shared<Connection>(m_steering->host(), m_steering->uri());
    // Detached: the migration goes on in the hosts without this object, and its call cannot be called back.
    std::thread([runner, vm, peer_uri, flags, outcome = m_outcome, params = std::move(params)]() mutable {
      run_migration(*runner, vm, peer_uri, params, flags, *outcome);
    }).detach();
  }

  ports::MoveProgress progress() override {
    ports::MoveProgress progress;
    {
      const std::lock_guard lock(m_outcome->mutex);
      progress.state = m_outcome->state;
      progress.error = m_outcome->error;
    }
    if (progress.state != ports::MoveProgress::State::running) return progress;
    add_figures(progress);
    add_state(progress);
    return progress;
  }

  ports::MoveProgress::State state() override {
    const std::lock_guard lock(m_outcome->mutex);
    return m_outcome->state;
  }

  bool holds_guest() override {
    const auto stats = job_stats(m_domain.get());
    return stats && stats->number(VIR_DOMAIN_JOB_OPERATION) == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
  }

  void set_downtime_limit(base::Millis limit) override {
    const auto ms = static_cast<unsigned long long>(std::max<base::Millis::rep>(1, limit.count()));
    check(virDomainMigrateSetMaxDowntime(m_domain.get(), ms, 0), act("set the allowed blackout of"));
  }

  void start_postcopy() override { check(virDomainMigrateStartPostCopy(m_domain.get(), 0), act("begin post-copy of")); }

  void let_source_end(base::Millis after) override {
    std::thread([steering = m_steering, vm = model::VmName(name_of(m_domain.get())), outcome = m_outcome, after] {
      end_source(*steering, vm, *outcome, after);
    }).detach();
  }

  void abort() override {
    if (!holds_guest()) return;  // it has not begun, or has ended: the job is another's
    const std::string what = act("abort the move of");
    if (virDomainAbortJob(m_domain.get()) == 0) return;
    const Failure failure = last_failure();
    if (failure.code != VIR_ERR_OPERATION_INVALID) throw to_error(failure, what);  // else it has ended by itself
  }

 private:
  std::string act(std::string_view verb) const { return m_steering->act(verb, model::VmName(name_of(m_domain.get()))); }

  void add_state(ports::MoveProgress& progress) {
    int state = 0;
    int reason = 0;
    if (virDomainGetState(m_domain.get(), &state, &reason, 0) < 0) return;
    progress.stopped = state == VIR_DOMAIN_PAUSED;
    progress.postcopy =
        progress.stopped && (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
  }

  /// Before the job begins and after it ended there are none: they stay 0.
  void add_figures(ports::MoveProgress& progress) {
    const auto stats = job_stats(m_domain.get());
    if (!stats) return;
    progress.remaining = {stats->number(VIR_DOMAIN_JOB_DATA_REMAINING).value_or(0)};
    progress.processed = {stats->number(VIR_DOMAIN_JOB_DATA_PROCESSED).value_or(0)};
    const double pages = static_cast<double>(stats->number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE).value_or(0));
    progress.dirty_bytes_per_s =
        pages * static_cast<double>(stats->number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE).value_or(page_size));
    progress.bytes_per_s = static_cast<double>(stats->number(VIR_DOMAIN_JOB_MEMORY_BPS).value_or(0) +
                                               stats->number(VIR_DOMAIN_JOB_DISK_BPS).value_or(0));
    progress.slowed = static_cast<double>(stats->number(VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE).value_or(0)) / 100;
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
  if (!request.resume) refuse_while_busy(domain.get(), what);
  const std::string live_xml = domain_xml_of(domain.get(), false, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE);
  const std::string defined_xml = domain_xml_of(domain.get(), true, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE);
  TypedParams params = migration_params(request, live_xml, defined_xml);
  auto move = std::make_unique<LibvirtMove>(m_connection, std::move(domain));
  // QEMU keeps it for the migration that begins next.
  if (!request.resume) move->set_downtime_limit(request.downtime_limit);
  move->launch(vm, request.peer_uri, std::move(params), migration_flags(request));
  return move;
}

ports::MoveFigures LibvirtHypervisor::last_move(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  int type = 0;
  TypedParams stats;
  const unsigned flags = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;
  if (virDomainGetJobStats(domain.get(), &type, stats.receive_list(), stats.receive_count(), flags) < 0) {
    const Failure failure = last_failure();
    if (kind_of(failure) == base::Kind::unreachable)
      throw to_error(failure, m_connection->act("ask for the figures of the move of", vm));
    return {};
  }
  const auto operation = stats.number(VIR_DOMAIN_JOB_OPERATION);
  const bool migrated =
      operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT || operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN;
  if (type != VIR_DOMAIN_JOB_COMPLETED || !migrated) return {};
  const auto ms = [&](const char* name) {
    const auto value = stats.number(name);
    return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
  };
  ports::MoveFigures figures{ms(VIR_DOMAIN_JOB_DOWNTIME), ms(VIR_DOMAIN_JOB_TIME_ELAPSED), {}};
  if (const auto sent = stats.number(VIR_DOMAIN_JOB_DATA_PROCESSED)) figures.sent = model::ByteCount{*sent};
  return figures;
}

namespace {

void announce_now(const Connection& connection, const model::VmName& vm) {
  const DomainHandle domain = connection.domain(vm);
  // Times in ms: five frames per NIC, spread over 1 s, as a switch may still be learning.
  const char* command = R"({"execute":"announce-self","arguments":{"initial":50,"max":550,"rounds":5,"step":100}})";
  char* answer = nullptr;
  const int result =
      virDomainQemuMonitorCommand(domain.get(), command, &answer, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT);
  const Text owned(answer);
  check(result, connection.act("announce", vm));
}

}  // namespace

/// Detached: a host that is silent, or whose monitor waits for the migration's end, holds nobody but its thread.
std::future<void> LibvirtHypervisor::announce(const model::VmName& vm) {
  std::packaged_task<void()> task([connection = m_connection, vm] { announce_now(*connection, vm); });
  std::future<void> told = task.get_future();
  std::thread(std::move(task)).detach();
  return told;
}

}  // namespace umbra::virt
