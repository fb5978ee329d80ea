// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a host is: its CPUs, memory, networks and devices.

#include <map>
#include <string>
#include <vector>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/handles.hpp"
#include "model/domain.hpp"

namespace umbra::virt {

/// CPU seconds of a whole host since it booted.
struct CpuTimes {
  double busy_s = 0;
  double idle_s = 0;  ///< waiting for disks included
};
CpuTimes node_cpu_times(_virConnect* connect);
/// The share of all CPUs that was busy between two looks; 0 where no time passed.
model::Fraction cpu_share(const CpuTimes& before, const CpuTimes& after);

struct NodeMemory {
  model::ByteCount total;
  model::ByteCount available;  ///< free, or given back by the page cache when asked
};
NodeMemory node_memory(_virConnect* connect);
unsigned node_cpus(_virConnect* connect);

std::string capabilities_xml(_virConnect* connect);
std::string libvirt_version(_virConnect* connect);
std::string hypervisor_version(_virConnect* connect);

/// Bridges and active libvirt networks by which a guest can be joined, sorted.
std::vector<std::string> networks(_virConnect* connect);
/// The host's display-class PCI devices by node device name.
std::map<std::string, PciDevice> display_devices(_virConnect* connect);

}  // namespace umbra::virt
