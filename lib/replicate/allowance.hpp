// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a pass may send, and how long it may be expected to take.

#include <optional>
#include <string>

#include "model/config.hpp"
#include "ports/context.hpp"

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

/// A rate that passes were seen to have, in bytes looked at.
struct Measured {
  model::ByteRate rate;
  std::string of;  ///< "its last pass"
};

/// How long a pass takes.
struct Expected {
  std::optional<base::Seconds> duration;  ///< absent where no rate is known
  std::string by;                         ///< which rate it goes by, or that none is known
};
/// `link` is what the host's link carries, where that is configured. All that is looked at may have to be sent where
/// nothing was measured.
Expected expected(model::ByteCount bytes, const std::optional<Measured>& measured, const Limits& limits,
                  const std::optional<model::ByteRate>& link);

}  // namespace umbra::replicate
