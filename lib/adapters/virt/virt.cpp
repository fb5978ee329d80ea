// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/virt.hpp"

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/libvirt_hypervisor.hpp"

namespace umbra::virt {

std::unique_ptr<ports::Hypervisor> connect(const model::HostConfig& host) {
  return std::make_unique<LibvirtHypervisor>(std::make_shared<Connection>(host.name, host.uri));
}

model::Domain domain_of(const std::string& xml) {
  return parse_domain(xml).domain;
}

}  // namespace umbra::virt
