// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which domain may be copied from and which onto, in one place for all features.

#include "model/domain.hpp"
#include "ports/hypervisor.hpp"

namespace umbra::ports {

/// Kind::refused for a shadow, a hibernated primary, and one that is leaving: what is to be copied or moved is a
/// primary, or a VM that is none of Umbra's yet.
void require_primary(const Hypervisor& hypervisor, const model::Domain& domain);
/// Kind::refused where the VM is up on its shadow's host, too. A host whose libvirt does not answer takes points all
/// the same.
void require_shadow_is_off(Hypervisors& hypervisors, const model::HostName& shadow_host, const model::Domain& primary);

}  // namespace umbra::ports
