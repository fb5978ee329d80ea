// SPDX-License-Identifier: Apache-2.0
#pragma once
// What directs clients to a VM, and looks whether it serves them: executables of the operator's own, HAProxy's runtime
// socket, routes by iproute2; probes by command, TCP and HTTP. May start processes and open connections; every wait has
// its deadline. Knows no hypervisor.

#include <memory>

#include "base/clock.hpp"
#include "model/redirect.hpp"
#include "ports/switching.hpp"

namespace umbra::traffic {

/// As configured, "{vm}" filled in. The clock must outlive it.
std::unique_ptr<ports::Redirector> redirector(const model::Redirect& redirect, base::Clock& clock);

/// Looks again until it succeeds or `deadline` has passed. `probe` must be given.
std::unique_ptr<ports::Probe> probe(const model::ProbeWay& probe, base::Millis deadline, base::Clock& clock);

}  // namespace umbra::traffic
