// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a switchover calls beside hypervisors: redirection of clients, the health probe, the fence.

#include <string>

#include "base/clock.hpp"
#include "base/process.hpp"
#include "model/ids.hpp"

namespace umbra::ports {

struct HookResult {
  bool ok = true;
  std::string message;
};

/// Points clients at the VM's new place, and back.
class Redirector {
 public:
  virtual ~Redirector() = default;
  virtual std::string name() const = 0;
  /// `record` is the JSON line; `undo` takes an earlier redirection back.
  virtual HookResult redirect(const std::string& record, bool undo) = 0;
};

/// Looks whether the VM serves, until it does or a deadline of its own passes; `ok` with what was seen last.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual HookResult check(const std::string& record) = 0;
};

/// Makes sure that a host runs nothing any more. ok only where that was proved.
class Fence {
 public:
  virtual ~Fence() = default;
  virtual HookResult fence(const model::HostName& host) = 0;
};

}  // namespace umbra::ports
