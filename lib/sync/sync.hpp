// SPDX-License-Identifier: Apache-2.0
#pragma once
// The warm level: memory and disks of one instant become the shadow's next point, from which the guest can be resumed
// with the same processes and open files. Written against the ports alone. The guest runs on at every moment; what a
// sync puts beside its disks is folded back and removed, also where it fails.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "ports/context.hpp"

namespace umbra::sync {

using ports::Context;

struct WarmRequest {
  model::VmName vm;
  model::HostName primary;
  model::HostName shadow_host;
  model::ShadowId shadow;
  std::string images;  ///< folder on the primary's host for the memory file
  unsigned retain = 3;
  std::optional<model::ByteRate> bandwidth;
  std::optional<base::Seconds> retain_for{};  ///< points older than this go too
};

struct WarmPlan {
  model::PointNumber point;
  std::string method;  ///< of the disks' delta
  std::string why;
  model::ByteCount memory;  ///< at most
};

struct WarmResult {
  model::StateSection state;
  model::Replica replica;  ///< the point as a replica: disks are newer, too
  std::vector<std::string> notes;
};

/// Changes nothing.
WarmPlan plan_warm(const Context& context, const WarmRequest& request);

/// Kind::refused where the VM does not run. What an earlier sync that was cut off left is folded back first.
WarmResult warm(const Context& context, const WarmRequest& request);

}  // namespace umbra::sync
