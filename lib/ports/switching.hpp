// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a switchover calls beside hypervisors: redirection of clients, the health probe, the fence.

#include <functional>
#include <string>

#include "base/clock.hpp"
#include "base/process.hpp"
#include "model/ids.hpp"

namespace umbra::ports {

/// What a call that failed may have done all the same.
enum class Failure {
  unsure,     ///< something, or all of it
  untouched,  ///< surely nothing
  hopeless,   ///< surely nothing, and another call would find the same
};

struct HookResult {
  bool ok = true;
  std::string message;
  Failure failure = Failure::unsure;  ///< where it is not ok
};

/// Where clients are to go.
struct Redirection {
  std::string record;    ///< the JSON line
  model::HostName from;  ///< where the VM was
  model::HostName to;    ///< where it runs
  bool undo = false;     ///< takes an earlier redirection back
};

/// Points clients at the VM's new place, and back. Each call bears being repeated.
class Redirector {
 public:
  virtual ~Redirector() = default;
  virtual std::string name() const = 0;
  /// How often a call that failed is made again.
  virtual unsigned retries() const { return 0; }
  /// One attempt, within a deadline of its own.
  virtual HookResult redirect(const Redirection& redirection) = 0;
  /// Looks, without changing anything, whether it could be called now; gives what was found, throws with a hint where
  /// it could not.
  virtual std::string look() = 0;
};

/// Looks whether the VM serves, until it does or a deadline of its own passes; `ok` with what was seen last.
class Probe {
 public:
  virtual ~Probe() = default;
  virtual std::string name() const = 0;
  virtual HookResult check(const std::string& record) = 0;
  /// As a redirector's.
  virtual std::string look() = 0;
};

/// Makes `attempt`, given the time that is left (200 ms at least), until it is ok or the deadline has passed; what was
/// seen last.
HookResult until_ok(base::Clock& clock, base::Millis deadline, const std::function<HookResult(base::Millis)>& attempt);

/// Makes sure that a host runs nothing any more. ok only where that was proved.
class Fence {
 public:
  virtual ~Fence() = default;
  virtual HookResult fence(const model::HostName& host) = 0;
};

}  // namespace umbra::ports
