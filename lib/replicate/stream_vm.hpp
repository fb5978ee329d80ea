// SPDX-License-Identifier: Apache-2.0
#pragma once
// A whole point of a VM that is sent one way, over any pipe: it needs neither a shadow nor a configured host at the
// other end, and makes no checkpoint, since nothing is heard of what became of it.

#include "replicate/replicate.hpp"
#include "replicate/sources.hpp"

namespace umbra::replicate {

/// All disks at one instant: of a running guest through a backup job, of one that is off through its files. Of the
/// request: the VM, its host, and what limits the pass. Fails as run_pass() does.
ports::SentPoint stream_vm(const Context& context, const PassRequest& request, const OpenSink& open);

}  // namespace umbra::replicate
