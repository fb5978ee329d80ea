// SPDX-License-Identifier: Apache-2.0
#include "replicate/schedule.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace umbra::replicate {
namespace {

base::Millis to_millis(base::Seconds span) {
  return base::Millis(std::llround(span.count() * 1000.0));
}

/// What the last pass would take today.
base::Seconds cost_of(const PassFacts& facts) {
  base::Seconds cost = facts.duration;
  if (facts.bandwidth && facts.bandwidth->value > 0)
    cost = std::max(cost, base::Seconds(static_cast<double>(facts.sent.value) / facts.bandwidth->value));
  return cost;
}

}  // namespace

Due next_due(const PassFacts& facts) {
  const base::Instant earliest = facts.finished + to_millis(shortest_gap);
  const base::Instant latest = facts.taken_at + to_millis(facts.rpo);
  const std::string rpo = base::to_human(facts.rpo);

  base::Seconds wait = facts.rpo / 2;
  std::string reason = fmt::format("half of the RPO of {}: how much the guest writes is not known yet", rpo);
  const base::Seconds cost = cost_of(facts);
  if (facts.since_last && facts.since_last->count() > 0) {
    const double share = cost / *facts.since_last;
    wait = std::min(facts.rpo / (1 + share), facts.rpo - cost);
    reason = fmt::format("{:.2f} MiB/s changed, which took {} to send: in time for the RPO of {}",
                         static_cast<double>(facts.changed.value) / (1 << 20) / facts.since_last->count(),
                         base::to_human(cost), rpo);
  }

  Due due{std::min(facts.taken_at + to_millis(wait), latest), std::move(reason), true};
  if (due.at >= earliest) return due;
  due.at = earliest;
  due.rpo_met = earliest + to_millis(cost) <= latest;
  due.reason = fmt::format("passes are at least {} apart", base::to_human(shortest_gap));
  if (!due.rpo_met)
    due.reason = fmt::format("the RPO of {} can't be met: a pass takes {}, {}", rpo, base::to_human(cost), due.reason);
  return due;
}

}  // namespace umbra::replicate
