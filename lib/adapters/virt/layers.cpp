// SPDX-License-Identifier: Apache-2.0
// The files below a running guest's disks: a new layer on top of them at one instant, and layers folded back.
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "adapters/virt/agent.hpp"
#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/jobs.hpp"
#include "adapters/virt/left_mirrors.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "adapters/virt/pause_watch.hpp"
#include "adapters/virt/xml_edit.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::virt {

namespace {

constexpr base::Millis event_deadline{1000};
/// A commit that has copied nothing for so long is given up; the whole may take as long as it needs.
constexpr base::Millis commit_stall{60'000};
/// Of a job that libvirt has forgotten QEMU itself tells, in words alone, and it may be ending.
constexpr base::Millis disk_is_free_within{30'000};
constexpr base::Millis thaws_within{20'000};

std::vector<model::DiskName> disks_of(const ports::FreezeRequest& request) {
  std::vector<model::DiskName> names;
  for (const auto& [name, path] : request.overlays) names.push_back(name);
  return names;
}

bool try_snapshot(_virDomain* domain, const std::string& xml, unsigned flags) {
  const Handle<_virDomainSnapshot> snapshot(virDomainSnapshotCreateXML(domain, xml.c_str(), flags));
  return snapshot != nullptr;
}

/// No answer of the agent in time; libvirt gives it five seconds.
bool agent_is_slow(const Failure& failure) {
  return failure.code == VIR_ERR_AGENT_UNRESPONSIVE || failure.code == VIR_ERR_AGENT_UNSYNCED;
}

/// Failures that an agent can cause: a file system that can't be frozen, no answer in time.
bool may_be_the_agents(const Failure& failure) {
  return agent_is_slow(failure) || failure.code == VIR_ERR_INTERNAL_ERROR;
}

/// Whether every disk stands on its new layer.
bool stands_on(_virDomain* domain, const std::map<model::DiskName, std::string>& overlays) {
  const std::vector<model::Disk> disks = parse_domain(domain_xml_of(domain, false)).domain.disks;
  return std::ranges::all_of(overlays, [&](const auto& overlay) {
    const auto disk = std::ranges::find(disks, overlay.first, &model::Disk::name);
    return disk != disks.end() &&
           model::stands_on(*disk, std::filesystem::path(overlay.second).lexically_normal().string());
  });
}

/// An agent that is slow answers in time or never: file systems that stay frozen stop the guest's work, and nothing
/// that is done to its disks.
void thaw_guest(_virDomain* domain, const std::string& what) {
  std::optional<Failure> failure;
  const bool thawed = base::wait_until(base::system_clock(), thaws_within, base::Millis{200}, [&] {
    failure.reset();
    if (virDomainFSThaw(domain, nullptr, 0, 0) >= 0) return true;
    failure = last_failure();
    return !agent_is_slow(*failure);
  });
  if (thawed && !failure) return;
  if (!agent_is_slow(*failure) && kind_of(*failure) == base::Kind::unreachable) throw to_error(*failure, what);
  base::log(base::Level::error, fmt::format("{}: {}; where its file systems are still frozen: virsh domfsthaw {}", what,
                                            failure->message, base::shell_word(name_of(domain))));
}

/// The disks alone. Quiesced where an agent can; an agent that fails in it costs the quiescence, not the freeze.
bool freeze_disks(_virDomain* domain, const std::string& xml, const ports::FreezeRequest& request, bool agent,
                  const std::string& what) {
  const unsigned flags =
      VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA;
  if (agent && agent_offers(domain, {"guest-fsfreeze-freeze", "guest-fsfreeze-thaw"})) {
    if (try_snapshot(domain, xml, flags | VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE)) return true;
    const Failure failure = last_failure();
    if (!may_be_the_agents(failure)) throw to_error(failure, what);
    base::log(base::Level::warning, what + " with its file systems frozen: " + failure.message);
    if (stands_on(domain, request.overlays)) {  // they were, and did not thaw in time
      thaw_guest(domain, "thaw " + name_of(domain));
      return true;
    }
  }
  if (!try_snapshot(domain, xml, flags)) throw to_error(last_failure(), what);
  return false;
}

/// Memory and disks of one instant. File systems need not be frozen: what they hold back is in the memory.
void freeze_with_memory(_virDomain* domain, const std::string& xml, const std::string& what) {
  const unsigned flags =
      VIR_DOMAIN_SNAPSHOT_CREATE_LIVE | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA;
  if (!try_snapshot(domain, xml, flags)) throw to_error(last_failure(), what);
}

/// The job's failure, with what libvirt says of the guest's disks: a full one ends jobs too.
base::Error ended_early(_virDomain* domain, const std::string& what) {
  std::array<virDomainDiskError, 64> errors{};
  const int count = virDomainGetDiskErrors(domain, errors.data(), errors.size(), 0);
  std::string trouble;
  bool full = false;
  for (int i = 0; i < count; ++i) {
    const virDomainDiskError& one = errors[static_cast<std::size_t>(i)];
    const bool no_space = one.error == VIR_DOMAIN_DISK_ERROR_NO_SPACE;
    full = full || no_space;
    trouble += fmt::format("; the guest stands, {} {}", one.disk,
                           no_space ? "has no space left on its host" : "fails to read or write");
    std::free(one.disk);
  }
  return {full ? base::Kind::no_space : base::Kind::io, what + ": the job ended before it was done" + trouble};
}

/// One disk's commit of everything above a file into it; one that an earlier run has left under way is gone on with.
/// Without pivot() nothing of it stays but the copied blocks, which read the same from above.
class Commit {
 public:
  Commit(_virDomain* domain, model::DiskName disk, const ChainFile& base)
      : m_domain(domain),
        m_disk(std::move(disk)),
        m_what(fmt::format("fold disk {} of {}", m_disk.get(), name_of(domain))) {
    const auto left = mirror_of(domain_xml_of(m_domain, false), m_disk);
    if (!left || left->job != "active-commit" || left->file != base.path) begin(base, left);
    m_open = true;
  }
  ~Commit() {
    if (m_open && virDomainBlockJobAbort(m_domain, name(), 0) < 0)
      base::log(base::Level::warning, m_what + ": its job could not be ended: " + last_failure().message);
  }
  Commit(Commit&& other) noexcept
      : m_domain(other.m_domain),
        m_disk(other.m_disk),
        m_what(other.m_what),
        m_open(std::exchange(other.m_open, false)) {}

  /// Until the base holds what the top holds, and every further write goes to both.
  void wait_ready() {
    virDomainBlockJobCursor last = 0;
    base::Millis moved = base::system_clock().steady();
    for (;;) {
      virDomainBlockJobInfo info{};
      const int jobs = check(virDomainGetBlockJobInfo(m_domain, name(), &info, 0), m_what);
      if (jobs == 0) {
        m_open = false;
        throw ended_early(m_domain, m_what);
      }
      if (info.cur == info.end && is_ready()) return;
      const base::Millis now = base::system_clock().steady();
      if (info.cur != last) {
        last = info.cur;
        moved = now;
      }
      if (now - moved > commit_stall) throw base::Error(base::Kind::timeout, m_what + ": it does not come forward");
      base::system_clock().pause(base::Millis{20});
    }
  }

  /// The guest goes on on the base.
  void pivot() {
    check(virDomainBlockJobAbort(m_domain, name(), VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT), m_what);
    m_open = false;
  }

 private:
  const char* name() const { return m_disk.get().c_str(); }

  void begin(const ChainFile& base, const std::optional<Mirror>& left) {
    if (left && left->job != "active-commit")
      throw base::Error(base::Kind::busy, m_what + ": another job of that disk is under way",
                        "wait for its end, or: " + virsh(m_domain, "blockjob") + " " + m_disk.get() + " --abort");
    if (left) check(virDomainBlockJobAbort(m_domain, name(), 0), m_what + ": end the commit into " + left->file);
    std::optional<Failure> refused;
    const bool begun = base::wait_until(base::system_clock(), disk_is_free_within, base::Millis{500}, [&] {
      if (virDomainBlockCommit(m_domain, name(), base.target.c_str(), nullptr, 0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) == 0)
        return true;
      refused = last_failure();
      if (refused->code != VIR_ERR_INTERNAL_ERROR) throw to_error(*refused, m_what);
      end_left_mirrors(m_domain);
      if (has_orphaned_filter(m_domain)) throw orphaned(*refused);
      return false;
    });
    if (!begun)
      throw to_error(*refused, m_what)
          .set_hint(fmt::format("see what QEMU itself still does with the disk: {} --pretty '{{\"execute\":"
                                "\"query-block-jobs\"}}'",
                                virsh(m_domain, "qemu-monitor-command")));
  }

  base::Error orphaned(const Failure& refused) const {
    return base::Error(
        base::Kind::io,
        fmt::format("{}: QEMU has kept a block node of the failed migration, by a fault of its own, and lets "
                    "no job begin on the disk ({}); the guest runs on as it is, its writes are kept",
                    m_what, refused.message),
        fmt::format(
            "once the hosts reach one another, give it a new QEMU process, without a restart of the guest: {} && {}",
            virsh(m_domain, "managedsave"), virsh(m_domain, "start")));
  }

  bool is_ready() const {
    const auto mirror = mirror_of(domain_xml_of(m_domain, false), m_disk);
    return mirror && mirror->ready;
  }

  _virDomain* m_domain;
  model::DiskName m_disk;
  std::string m_what;
  bool m_open = false;
};

/// The file `path` of a disk's chain; nothing where it is the top already.
std::optional<ChainFile> commit_base(const std::vector<ChainFile>& chain, const model::DiskName& disk,
                                     const std::string& path, const std::string& what) {
  const std::string wanted = std::filesystem::path(path).lexically_normal().string();
  const auto file = std::find_if(chain.begin(), chain.end(), [&](const ChainFile& f) { return f.path == wanted; });
  if (file == chain.end()) {
    throw base::Error(base::Kind::not_found,
                      fmt::format("{}: {} is not in the chain of disk {}", what, path, disk.get()));
  }
  if (file == chain.begin()) return std::nullopt;
  return *file;
}

}  // namespace

ports::FreezeResult LibvirtHypervisor::freeze(const model::VmName& vm, const ports::FreezeRequest& request) {
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("freeze", vm);
  const std::string live_xml = domain_xml_of(domain.get(), false);
  if (!is_active(domain.get())) {
    throw base::Error(base::Kind::refused, what + ": it is off", "start it first: " + m_connection->virsh("start", vm));
  }
  refuse_while_busy(domain.get(), what);
  const std::string xml = snapshot_xml(request, disks_but(live_xml, disks_of(request)));

  const PauseWatch watch(virDomainGetConnect(domain.get()), domain.get());
  ports::FreezeResult result;
  result.taken_at = base::system_clock().now();  // not later than the instant
  if (request.memory_file) {
    freeze_with_memory(domain.get(), xml, what);
  } else {
    const bool agent = request.quiesce && parse_domain(live_xml).domain.agent;
    result.quiesced = freeze_disks(domain.get(), xml, request, agent, what);
  }
  const base::Seconds paused = watch.paused(request.memory_file.has_value(), event_deadline);
  result.paused_ms = std::chrono::duration<double, std::milli>(paused).count();
  // Memory is saved while the guest runs on; the instant is the stop at the end.
  if (request.memory_file) result.taken_at = watch.last_pause().value_or(result.taken_at);
  return result;
}

void LibvirtHypervisor::thaw(const model::VmName& vm) {
  const DomainHandle domain = m_connection->domain(vm);
  if (!is_active(domain.get()) || !parse_domain(domain_xml_of(domain.get(), false)).domain.agent) return;
  thaw_guest(domain.get(), m_connection->act("thaw", vm));
}

void LibvirtHypervisor::fold(const model::VmName& vm, const std::map<model::DiskName, std::string>& down_to) {
  const DomainHandle domain = m_connection->domain(vm);
  const std::string what = m_connection->act("fold the layers of", vm);
  const auto chains = parse_chains(domain_xml_of(domain.get(), false));
  end_left_mirrors(domain.get());
  std::vector<Commit> commits;
  for (const auto& [disk, path] : down_to) {
    const auto chain = chains.find(disk);
    if (chain == chains.end()) {
      throw base::Error(base::Kind::not_found, fmt::format("{}: it has no disk {}", what, disk.get()));
    }
    if (const auto base = commit_base(chain->second, disk, path, what)) commits.emplace_back(domain.get(), disk, *base);
  }
  for (Commit& commit : commits) commit.wait_ready();
  for (Commit& commit : commits) commit.pivot();
}

}  // namespace umbra::virt
