// SPDX-License-Identifier: Apache-2.0
#include "replicate/result.hpp"

#include <chrono>

#include "replicate/schedule.hpp"

namespace umbra::replicate {

model::Replica replica_of(const Context& context, const ports::SentPoint& sent, base::Millis began, bool verified) {
  model::Replica replica;
  replica.point = sent.info.number;
  replica.root = sent.info.root;
  replica.taken_at = sent.info.taken_at;
  replica.lag_s = base::Seconds(context.clock.now() - sent.info.taken_at).count();
  replica.dirty = sent.counts.looked;
  replica.sent = sent.sent;
  replica.zero = sent.counts.zero;
  replica.verified = verified;
  replica.method = ports::to_string(sent.choice.method);
  replica.why = sent.choice.why;
  replica.duration_s = base::Seconds(context.clock.steady() - began).count();
  return replica;
}

void schedule(const Context& context, const PassRequest& request, const std::vector<model::PointInfo>& points,
              const ports::SentPoint& sent, model::Replica& replica) {
  PassFacts facts;
  facts.taken_at = replica.taken_at;
  facts.finished = context.clock.now();
  facts.duration = base::Seconds(replica.duration_s);
  if (!points.empty()) facts.since_last = base::Seconds(replica.taken_at - points.back().taken_at);
  facts.changed = sent.counts.data + sent.counts.zero;
  facts.sent = sent.sent;
  facts.bandwidth = request.bandwidth;
  facts.rpo = request.rpo;
  const Due due = next_due(facts);
  replica.next_due = due.at;
  replica.due_reason = due.reason;
}

}  // namespace umbra::replicate
