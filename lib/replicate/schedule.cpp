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
  const std::string rpo = base::to_human(facts.rpo);

  base::Seconds begun_within = facts.rpo / 2;
  std::string reason = fmt::format("half of the RPO of {}: how much the guest writes is not known yet", rpo);
  const base::Seconds cost = cost_of(facts);
  if (facts.since_last && facts.since_last->count() > 0) {
    const double share = cost / *facts.since_last;
    begun_within = std::min(facts.rpo / (1 + share), facts.rpo - cost);
    reason = fmt::format("{:.2f} MiB/s changed, which took {} to send: in time for the RPO of {}",
                         static_cast<double>(facts.changed.value) / (1 << 20) / facts.since_last->count(),
                         base::to_human(cost), rpo);
  }

  const std::string looks = fmt::format("what is due is looked for every {}", base::to_human(facts.every));
  Due due{facts.taken_at + to_millis(begun_within - facts.every), reason + ", and " + looks, true};
  if (due.at >= earliest) return due;
  const base::Instant latest = facts.taken_at + to_millis(facts.rpo);
  due.at = earliest;
  due.meets_rpo = earliest + to_millis(facts.every + cost) <= latest;
  due.reason = fmt::format("passes are at least {} apart", base::to_human(shortest_gap));
  if (earliest + to_millis(cost) > latest)
    due.reason = fmt::format("the RPO of {} can't be met: a pass takes {}, {}", rpo, base::to_human(cost), due.reason);
  else if (!due.meets_rpo)
    due.reason = fmt::format("the RPO of {} may be missed: a pass takes {}, and {} (replicate.every)", rpo,
                             base::to_human(cost), looks);
  return due;
}

}  // namespace umbra::replicate
