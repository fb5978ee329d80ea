// SPDX-License-Identifier: Apache-2.0
#pragma once
// How passes that run at once, of whatever run of Umbra, share what replication may take of a host's link.

#include <memory>

#include "model/ids.hpp"

namespace umbra::ports {

/// A pass under way; it is known to the others as long as this lives, and the process with it.
class LinkShare {
 public:
  virtual ~LinkShare() = default;
  /// This pass's part of the link now, above 0 and at most 1: its weight against those of all that are under way.
  virtual double share() = 0;
};

class LinkShares {
 public:
  virtual ~LinkShares() = default;
  /// `weight` above 0.
  virtual std::unique_ptr<LinkShare> enter(const model::HostName& from, const model::VmName& vm, double weight) = 0;
};

}  // namespace umbra::ports
