// SPDX-License-Identifier: Apache-2.0
#pragma once
// One domain's part of libvirt's bulk answer (virConnectGetAllDomainStats), by the names that its reference gives.

#include "model/metrics.hpp"

struct _virTypedParameter;

namespace umbra::virt {

/// Fills in what the list says: CPUs and their time, memory, network and disk. What it does not say stays absent, so
/// that a list cut short (the domain was held by a job) gives no false rate now and none in the next reading.
void add_stats(const _virTypedParameter* list, int count, model::Counters& counters);

/// Whether it is a rehearsal's stand-in, whose load is none of its VM's: its disks tell.
bool is_rehearsal_stats(_virTypedParameter* list, int count);

}  // namespace umbra::virt
