// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a walk will take, before it is begun: the pre-copy model over the guest's dirty rate and the hosts' link,
// corrected by what earlier walks of the VM really took.

#include <span>

#include "switchover/walk.hpp"

namespace umbra::switchover {

struct Survey;

/// Asks the source for the guest's dirty rate; changes nothing.
Estimate estimate(const Ports& ports, const Request& request, const Survey& seen);

/// `modelled`, each figure by the median of measured over modelled of earlier walks. The model itself has a vote, so
/// that no single walk decides.
Cost corrected(const Cost& modelled, std::span<const Facts> earlier);

/// Throws Kind::refused where the policy's limits would be broken, each that would, with the figures.
void check_limits(const Request& request, const Estimate& estimate);

/// The slowing-down that the guest may get while it moves: none where the policy forbids it; gentle where it changes
/// memory at well below the rate that gets through, else begun at what brings it there.
std::optional<ports::Throttle> throttle_of(const model::VmPolicy& policy, const std::optional<Estimate>& estimate);

}  // namespace umbra::switchover
