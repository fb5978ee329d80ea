// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a pass may send, and how long it may be expected to take.

#include <optional>
#include <string>

#include "model/config.hpp"
#include "ports/context.hpp"
#include "ports/delta.hpp"

namespace umbra::replicate {

/// A pass of each level gets twice what one of the next gets.
double weight_of(model::Priority priority);

/// What limits a pass.
struct Limits {
  std::optional<model::ByteRate> own;   ///< of this VM
  std::optional<model::ByteRate> link;  ///< of all passes from its host together
  double weight = 1;                    ///< of this pass among those
};

/// What the pass may send by now: the VM's own limit, or its share of the host's. Others know of the pass as long as
/// this lives.
class Allowance {
 public:
  Allowance(const ports::Context& context, const model::HostName& from, const model::VmName& vm, const Limits& limits);
  std::optional<model::ByteRate> now() const;

 private:
  Limits m_limits;
  std::unique_ptr<ports::LinkShare> m_share;
};

/// What passes were seen to do.
struct Measured {
  ports::Method method = ports::Method::full;
  model::ByteRate rate;   ///< bytes looked at per second
  double sent_share = 1;  ///< bytes sent per byte looked at
  std::string of;         ///< "its last pass"
};
/// Nothing of passes that looked at nothing.
std::optional<Measured> measured(ports::Method method, model::ByteCount looked, model::ByteCount sent,
                                 base::Seconds duration, std::string of);
/// Of the pass that made the point; nothing where its method is not known.
std::optional<Measured> measured(const model::Replica& replica, std::string of);

/// How long a pass takes.
struct Expected {
  std::optional<base::Seconds> duration;  ///< absent where no rate is known
  std::string by;                         ///< which rate it goes by, or that none is known
};
/// Of a pass that looks at `bytes`. It takes what looking took before, or, where a limit makes that longer, what
/// sending takes; of what share is sent a pass of the same method tells, else it may be all. One that reads all tells
/// one that is told what changed how fast it sent; the other way it tells nothing. `link` is what the host's link
/// carries, where that is configured.
Expected expected(model::ByteCount bytes, ports::Method method, const std::optional<Measured>& measured,
                  const Limits& limits, const std::optional<model::ByteRate>& link);

}  // namespace umbra::replicate
