// SPDX-License-Identifier: Apache-2.0
#pragma once
// The hard checks: each says with numbers and names why a host can't take the VM, or nothing.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "place/place.hpp"

namespace umbra::place {

using Check = std::optional<std::string> (*)(const Need&, const Candidate&, const model::PlaceConfig&);

struct NamedCheck {
  std::string_view name;
  Check check;
};

/// In the order in which they are asked; the first objection is the host's reason.
const std::array<NamedCheck, 8>& checks();

/// CPUs that stay idle on the host, those left free by configuration taken off; may be negative.
double free_cpus(const Candidate& candidate, const model::PlaceConfig& config);
double needed_cpus(const Need& need);

}  // namespace umbra::place
