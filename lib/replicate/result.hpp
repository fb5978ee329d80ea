// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a pass tells about its point: shared by passes and the last delta, not meant for callers.

#include "replicate/replicate.hpp"

namespace umbra::replicate {

/// The record's section of a point just committed. `began` is the steady time at which the work began.
model::Replica replica_of(const Context& context, const ports::SentPoint& sent, base::Millis began, bool verified);

/// Fills in when the next pass is due. `points` are those before the new one.
void schedule(const Context& context, const PassRequest& request, const std::vector<model::PointInfo>& points,
              const ports::SentPoint& sent, model::Replica& replica);

}  // namespace umbra::replicate
