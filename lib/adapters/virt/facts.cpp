// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/facts.hpp"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "adapters/virt/errors.hpp"
#include "adapters/virt/units.hpp"

namespace umbra::virt {

namespace {

/// The handles of one of libvirt's lists, each owned. A host whose libvirt has no driver for that kind of thing (an
/// embedded one has none of networks) has none to tell.
template <class T, class List>
std::vector<Handle<T>> listed(List list, std::string_view what) {
  T** raw = nullptr;
  const int count = list(&raw);
  if (count < 0) {
    const Failure failure = last_failure();
    if (kind_of(failure) == base::Kind::unsupported) return {};
    throw to_error(failure, what);
  }
  std::vector<Handle<T>> handles(raw, raw + count);
  std::free(raw);
  return handles;
}

void add_bridges(_virConnect* connect, std::set<std::string>& names) {
  const auto interfaces = listed<_virInterface>(
      [&](auto list) { return virConnectListAllInterfaces(connect, list, VIR_CONNECT_LIST_INTERFACES_ACTIVE); },
      "list the host's interfaces");
  for (const auto& interface : interfaces) {
    const Text xml(virInterfaceGetXMLDesc(interface.get(), 0));
    if (xml && is_bridge(xml.get())) names.insert(virInterfaceGetName(interface.get()));
  }
}

/// Libvirt's networks and the bridges that they made.
void add_networks(_virConnect* connect, std::set<std::string>& names) {
  const auto networks = listed<_virNetwork>(
      [&](auto list) { return virConnectListAllNetworks(connect, list, VIR_CONNECT_LIST_NETWORKS_ACTIVE); },
      "list the host's networks");
  for (const auto& network : networks) {
    names.insert(virNetworkGetName(network.get()));
    if (const Text bridge{virNetworkGetBridgeName(network.get())}) names.insert(bridge.get());
  }
}

/// Where the driver tells no statistics: caches then count as used.
NodeMemory plain_node_memory(_virConnect* connect) {
  virNodeInfo info{};
  check(virNodeGetInfo(connect, &info), "read the host's memory");
  const unsigned long long free = virNodeGetFreeMemory(connect);
  if (free == 0) throw to_error(last_failure(), "read the host's free memory");
  return {{info.memory * kib}, {free}};
}

std::string dotted(unsigned long version) {
  return fmt::format("{}.{}.{}", version / 1000000, version / 1000 % 1000, version % 1000);
}

}  // namespace

CpuTimes node_cpu_times(_virConnect* connect) {
  int count = 0;
  check(virNodeGetCPUStats(connect, VIR_NODE_CPU_STATS_ALL_CPUS, nullptr, &count, 0), "read the host's CPU times");
  std::vector<virNodeCPUStats> stats(static_cast<std::size_t>(count));
  check(virNodeGetCPUStats(connect, VIR_NODE_CPU_STATS_ALL_CPUS, stats.data(), &count, 0), "read the host's CPU times");
  CpuTimes times;
  for (const virNodeCPUStats& stat : stats) {
    const double seconds = static_cast<double>(stat.value) / ns_per_s;
    const std::string_view field = stat.field;
    if (field == VIR_NODE_CPU_STATS_IDLE || field == VIR_NODE_CPU_STATS_IOWAIT) times.idle_s += seconds;
    if (field == VIR_NODE_CPU_STATS_USER || field == VIR_NODE_CPU_STATS_KERNEL) times.busy_s += seconds;
  }
  return times;
}

model::Fraction cpu_share(const CpuTimes& before, const CpuTimes& after) {
  const double busy = after.busy_s - before.busy_s;
  const double all = busy + after.idle_s - before.idle_s;
  return {all > 0 ? std::clamp(busy / all, 0.0, 1.0) : 0.0};
}

NodeMemory node_memory(_virConnect* connect) {
  int count = 0;
  if (virNodeGetMemoryStats(connect, VIR_NODE_MEMORY_STATS_ALL_CELLS, nullptr, &count, 0) < 0) {
    const Failure failure = last_failure();
    if (kind_of(failure) == base::Kind::unsupported) return plain_node_memory(connect);
    throw to_error(failure, "read the host's memory");
  }
  std::vector<virNodeMemoryStats> stats(static_cast<std::size_t>(count));
  check(virNodeGetMemoryStats(connect, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats.data(), &count, 0),
        "read the host's memory");
  NodeMemory memory;
  for (const virNodeMemoryStats& stat : stats) {
    const std::string_view field = stat.field;
    if (field == VIR_NODE_MEMORY_STATS_TOTAL) {
      memory.total = {stat.value * kib};
    } else if (field == VIR_NODE_MEMORY_STATS_FREE || field == VIR_NODE_MEMORY_STATS_BUFFERS ||
               field == VIR_NODE_MEMORY_STATS_CACHED) {
      memory.available += {stat.value * kib};
    }
  }
  return memory;
}

unsigned node_cpus(_virConnect* connect) {
  virNodeInfo info{};
  check(virNodeGetInfo(connect, &info), "read the host's CPUs");
  return info.cpus;
}

std::string capabilities_xml(_virConnect* connect) {
  return check(Text(virConnectGetCapabilities(connect)).get(), "read the host's capabilities");
}

std::string libvirt_version(_virConnect* connect) {
  unsigned long version = 0;
  check(virConnectGetLibVersion(connect, &version), "read libvirt's version");
  return dotted(version);
}

std::string hypervisor_version(_virConnect* connect) {
  unsigned long version = 0;
  check(virConnectGetVersion(connect, &version), "read the hypervisor's version");
  return dotted(version);
}

std::vector<std::string> networks(_virConnect* connect) {
  std::set<std::string> names;
  add_bridges(connect, names);
  add_networks(connect, names);
  return {names.begin(), names.end()};
}

std::map<std::string, PciDevice> display_devices(_virConnect* connect) {
  const auto devices = listed<_virNodeDevice>(
      [&](auto list) { return virConnectListAllNodeDevices(connect, list, VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV); },
      "list the host's PCI devices");
  std::map<std::string, PciDevice> found;
  for (const auto& device : devices) {
    const Text xml(virNodeDeviceGetXMLDesc(device.get(), 0));
    if (!xml) continue;  // unplugged meanwhile
    PciDevice pci = parse_pci_device(xml.get());
    if (pci.display) found.emplace(pci.name, std::move(pci));
  }
  return found;
}

}  // namespace umbra::virt
