// SPDX-License-Identifier: Apache-2.0
#pragma once
// Jobs of a domain: libvirt carries out one at a time.

#include <string>

#include "adapters/virt/handles.hpp"

namespace umbra::virt {

/// Whether a backup, save or migration is under way.
bool has_job(_virDomain* domain);
/// Kind::busy where one is: libvirt itself would tell only after half a minute. `what` begins the message.
void refuse_while_busy(_virDomain* domain, const std::string& what);

}  // namespace umbra::virt
