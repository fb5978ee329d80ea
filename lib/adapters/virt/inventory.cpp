// SPDX-License-Identifier: Apache-2.0
// What runs on the host, and what the host could run.
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <set>

#include <fmt/format.h>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/jobs.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"
#include "base/clock.hpp"

namespace umbra::virt {

namespace {

/// How long the host's CPUs are watched where nothing was seen before.
constexpr base::Millis first_span{200};

struct State {
  model::DomainState state = model::DomainState::other;
  model::Postcopy postcopy = model::Postcopy::none;
  bool is_half = false;
  bool start_failed = false;
};

model::Postcopy postcopy_of(int state, int reason) {
  const bool paused = state == VIR_DOMAIN_PAUSED;
  if (!paused && state != VIR_DOMAIN_RUNNING) return model::Postcopy::none;
  if (reason == (paused ? int{VIR_DOMAIN_PAUSED_POSTCOPY} : int{VIR_DOMAIN_RUNNING_POSTCOPY}))
    return model::Postcopy::active;
  const bool failed =
      reason == (paused ? int{VIR_DOMAIN_PAUSED_POSTCOPY_FAILED} : int{VIR_DOMAIN_RUNNING_POSTCOPY_FAILED});
  return failed ? model::Postcopy::failed : model::Postcopy::none;
}

/// What a migration brings stands for that, and before for its QEMU to start; what one has handed over, and libvirt
/// could not let go on, bears the last reason from libvirt 9.2 on, whose headers alone name it.
bool is_of_migration(int reason) {
  constexpr int api_error = 14;
  return reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_STARTING_UP || reason == api_error;
}

State state_of(_virDomain* domain) {
  const std::string what = "ask the state of " + name_of(domain);
  int state = 0;
  int reason = 0;
  check(virDomainGetState(domain, &state, &reason, 0), what);
  const model::Postcopy postcopy = postcopy_of(state, reason);
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return {.state = model::DomainState::running, .postcopy = postcopy};
    case VIR_DOMAIN_PAUSED:
      return {.state = model::DomainState::paused, .postcopy = postcopy, .is_half = is_of_migration(reason)};
    case VIR_DOMAIN_SHUTOFF:
      return {
          .state = model::DomainState::off, .postcopy = postcopy, .start_failed = reason == VIR_DOMAIN_SHUTOFF_FAILED};
    case VIR_DOMAIN_CRASHED:  // with on_crash=preserve QEMU is still there, and holds the disks
      return {.state = is_active(domain) ? model::DomainState::other : model::DomainState::off, .postcopy = postcopy};
    default:
      return {};
  }
}

std::vector<model::DiskName> missing_disks(const std::vector<model::Disk>& live,
                                           const std::vector<model::Disk>& defined) {
  std::vector<model::DiskName> missing;
  for (const model::Disk& disk : live) {
    if (std::ranges::find(defined, disk.name, &model::Disk::name) == defined.end()) missing.push_back(disk.name);
  }
  return missing;
}

/// Sizes stay 0 where the file is not there (yet) or is not readable to libvirt.
void add_sizes(_virDomain* domain, std::vector<model::Disk>& disks) {
  for (model::Disk& disk : disks) {
    virDomainBlockInfo info{};
    if (virDomainGetBlockInfo(domain, disk.name.get().c_str(), &info, 0) < 0) continue;
    disk.size = {info.capacity};
    disk.allocated = {info.physical};
  }
}

/// Node device names of the devices passed through -> their models, where they are display devices.
std::vector<std::string> gpus_of(const std::vector<std::string>& devices,
                                 const std::map<std::string, PciDevice>& displays) {
  std::vector<std::string> models;
  for (const std::string& device : devices) {
    if (const auto display = displays.find(device); display != displays.end()) models.push_back(display->second.model);
  }
  return models;
}

bool is_passed_through(const std::string& mode) {
  return mode == "host-passthrough" || mode == "maximum";
}

/// Looks at domains; what is asked of the host once lives as long as the look.
class Look {
 public:
  Look(_virConnect* connect, std::string& capabilities) : m_connect(connect), m_capabilities(capabilities) {}

  enum class Sizes { asked, left_out };

  /// Nothing where the domain is gone meanwhile.
  std::optional<model::Domain> at(_virDomain* handle, Sizes sizes) {
    try {
      return read(handle, sizes);
    } catch (const base::Error& error) {
      if (error.kind() == base::Kind::not_found) return std::nullopt;
      throw;
    }
  }

 private:
  model::Domain read(_virDomain* handle, Sizes sizes) {
    const auto [state, postcopy, is_half, start_failed] = state_of(handle);
    const bool active = state != model::DomainState::off && is_active(handle);
    // With its secrets: a stand-in that is defined from it must have them, such as a console's password.
    const std::string inactive_xml = domain_xml_of(handle, true, VIR_DOMAIN_XML_SECURE);
    const std::string shown_xml = active ? domain_xml_of(handle, false) : inactive_xml;
    ParsedDomain parsed = parse_domain(shown_xml);
    model::Domain& domain = parsed.domain;
    domain.state = state;
    domain.postcopy = postcopy;
    domain.is_half = is_half;
    domain.start_failed = start_failed;
    const std::string whose = name_of(handle);
    domain.persistent = check(virDomainIsPersistent(handle), "ask whether " + whose + " is persistent") == 1;
    int autostart = 0;
    if (domain.persistent)
      check(virDomainGetAutostart(handle, &autostart), "ask whether " + whose + " starts with its host");
    domain.autostart = autostart == 1;
    domain.snapshots = check(virDomainSnapshotNum(handle, 0), "count the snapshots of " + whose) > 0;
    domain.job = active && (parsed.domain.block_job || has_job(handle));
    if (active && domain.persistent)
      domain.live_only = missing_disks(domain.disks, parse_domain(inactive_xml).domain.disks);
    domain.xml = inactive_xml;
    domain.cpu_xml = cpu_seen(shown_xml);
    if (!active) {
      for (model::Disk& disk : domain.disks) disk.chain.clear();
    }
    // For what is yet to come libvirt would wait half a minute a disk.
    if (sizes == Sizes::asked && !(is_half && domain.job)) add_sizes(handle, domain.disks);
    if (!parsed.pci_devices.empty()) domain.gpus = gpus_of(parsed.pci_devices, displays());
    return std::move(domain);
  }

  std::string cpu_seen(const std::string& shown_xml) {
    const CpuNeed need = parse_cpu_need(shown_xml);
    if (need.virt_type != "kvm" || !is_passed_through(need.mode)) return cpu_element(shown_xml);
    if (m_capabilities.empty()) m_capabilities = capabilities_xml(m_connect);
    return cpu_element(m_capabilities);
  }

  const std::map<std::string, PciDevice>& displays() {
    if (!m_displays) m_displays = display_devices(m_connect);
    return *m_displays;
  }

  _virConnect* m_connect;
  std::string& m_capabilities;
  std::optional<std::map<std::string, PciDevice>> m_displays;
};

std::vector<DomainHandle> list_domains(_virConnect* connect, unsigned flags) {
  virDomainPtr* raw = nullptr;
  const int count = check(virConnectListAllDomains(connect, &raw, flags), "list the host's VMs");
  std::vector<DomainHandle> handles(raw, raw + count);
  std::free(raw);
  return handles;
}

/// Why this host cannot run a domain of that machine, emulator and accelerator at all; nothing where it can.
std::optional<std::string> emulator_objection(_virConnect* connect, const CpuNeed& need) {
  const Text answer(virConnectGetDomainCapabilities(connect, need.emulator.c_str(), need.arch.c_str(),
                                                    need.machine.c_str(), need.virt_type.c_str(), 0));
  if (answer) return std::nullopt;
  const Failure failure = last_failure();
  if (kind_of(failure) == base::Kind::unreachable) throw to_error(failure, "ask what the host's emulator can do");
  return failure.message;
}

/// A CPU passed through is safe on a host of the same CPU only: what the guest found at its boot must stay.
model::CpuVerdict compare_host_cpus(_virConnect* connect, const std::string& other_host_cpu) {
  const int answer = virConnectCompareCPU(connect, other_host_cpu.c_str(), 0);
  if (answer == VIR_CPU_COMPARE_IDENTICAL) return {};
  if (answer != VIR_CPU_COMPARE_ERROR) return {false, "the VM's CPU is passed through, and this host's differs"};
  const Failure failure = last_failure();
  if (kind_of(failure) == base::Kind::unreachable) throw to_error(failure, "compare the hosts' CPUs");
  return {false, failure.message};
}

model::CpuVerdict compare_guest_cpu(_virConnect* connect, const CpuNeed& need, const std::string& cpu) {
  const int answer =
      virConnectCompareHypervisorCPU(connect, need.emulator.c_str(), need.arch.c_str(), need.machine.c_str(),
                                     need.virt_type.c_str(), cpu.c_str(), VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
  if (answer == VIR_CPU_COMPARE_IDENTICAL || answer == VIR_CPU_COMPARE_SUPERSET) return {};
  const Failure failure = last_failure();
  if (kind_of(failure) == base::Kind::unreachable) throw to_error(failure, "compare the VM's CPU with the host's");
  return {false, failure.message};
}

/// Models of the display devices that no active domain holds.
std::vector<std::string> free_gpus(_virConnect* connect) {
  std::map<std::string, PciDevice> displays = display_devices(connect);
  if (displays.empty()) return {};
  for (const DomainHandle& handle : list_domains(connect, VIR_CONNECT_LIST_DOMAINS_ACTIVE)) {
    for (const std::string& device : parse_domain(domain_xml_of(handle.get(), false)).pci_devices)
      displays.erase(device);
  }
  std::vector<std::string> models;
  for (const auto& [name, device] : displays) models.push_back(device.model);
  return models;
}

}  // namespace

LibvirtHypervisor::LibvirtHypervisor(std::shared_ptr<Connection> connection) : m_connection(std::move(connection)) {}

model::HostFacts LibvirtHypervisor::facts() {
  _virConnect* connect = m_connection->get();
  return base::with_context("looking at host " + host().get(), [&] {
    if (!m_cpu_times) {
      m_cpu_times = node_cpu_times(connect);
      base::system_clock().pause(first_span);
    }
    const CpuTimes now = node_cpu_times(connect);
    const NodeMemory memory = node_memory(connect);
    if (m_capabilities.empty()) m_capabilities = capabilities_xml(connect);
    model::HostFacts facts;
    facts.name = host();
    facts.cpus = node_cpus(connect);
    facts.cpu_used = cpu_share(*m_cpu_times, now);
    facts.memory = memory.total;
    facts.memory_free = memory.available;
    facts.networks = networks(connect);
    facts.gpus = free_gpus(connect);
    facts.running = static_cast<unsigned>(check(virConnectNumOfDomains(connect), "count the host's VMs"));
    facts.uuid = host_uuid(m_capabilities);
    facts.cpu_model = host_cpu_model(m_capabilities);
    facts.libvirt_version = libvirt_version(connect);
    facts.qemu_version = hypervisor_version(connect);
    m_cpu_times = now;
    return facts;
  });
}

std::vector<model::Domain> LibvirtHypervisor::domains() {
  return base::with_context("looking at the VMs of " + host().get(), [&] {
    Look look(m_connection->get(), m_capabilities);
    std::vector<model::Domain> found;
    for (const DomainHandle& handle : list_domains(m_connection->get(), 0)) {
      if (auto domain = look.at(handle.get(), Look::Sizes::asked)) found.push_back(std::move(*domain));
    }
    return found;
  });
}

namespace {

std::optional<model::Domain> look_at(const Connection& connection, const model::VmName& vm, std::string& capabilities,
                                     Look::Sizes sizes) {
  const DomainHandle handle = connection.find_domain(vm);
  if (!handle) return std::nullopt;
  return base::with_context(connection.act("look at", vm),
                            [&] { return Look(connection.get(), capabilities).at(handle.get(), sizes); });
}

}  // namespace

std::optional<model::Domain> LibvirtHypervisor::find(const model::VmName& vm) {
  return look_at(*m_connection, vm, m_capabilities, Look::Sizes::asked);
}

std::optional<model::Domain> LibvirtHypervisor::glance(const model::VmName& vm) {
  return look_at(*m_connection, vm, m_capabilities, Look::Sizes::left_out);
}

model::CpuVerdict LibvirtHypervisor::can_run_cpu_of(const model::Domain& domain) {
  return base::with_context("asking whether " + host().get() + " can run the CPU of " + domain.name.get(), [&] {
    const CpuNeed need = parse_cpu_need(domain.xml);
    if (const auto objection = emulator_objection(m_connection->get(), need))
      return model::CpuVerdict{false, *objection};
    const std::string cpu = domain.cpu_xml.empty() ? cpu_element(domain.xml) : domain.cpu_xml;
    if (cpu.empty()) return model::CpuVerdict{};  // the emulator's own default, the same wherever this emulator runs
    if (is_passed_through(need.mode)) {
      // An emulated "maximum" depends on the emulator alone, and its domain asks for no feature of the host.
      if (need.virt_type != "kvm") return model::CpuVerdict{};
      return compare_host_cpus(m_connection->get(), cpu);
    }
    return compare_guest_cpu(m_connection->get(), need, cpu);
  });
}

}  // namespace umbra::virt
