// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where samples of use come from: counters as they stand now, or what was recorded before.

#include <functional>
#include <map>
#include <vector>

#include "model/metrics.hpp"

namespace umbra::ports {

class MetricSource {
 public:
  virtual ~MetricSource() = default;
  /// The counters of every running domain and of the host itself (empty uuid), at one instant.
  virtual std::vector<model::Counters> counters() = 0;
};

/// What is wanted of a recorded past.
struct Past {
  base::Instant from;
  base::Instant to;
  base::Seconds step{60};                     ///< for a source that evaluates; one that has rows gives them as they are
  std::map<model::Uuid, base::Instant> held;  ///< the newest sample of each series that is kept already
};

/// A source that knows more than the present.
class RecordedSource {
 public:
  using Take = std::function<void(const std::vector<model::Series>&)>;
  virtual ~RecordedSource() = default;
  /// Samples of `from` to `to`, both included, that are newer than what is held, in pieces: a series may come several
  /// times, each time oldest first. A VM of which no uuid is known has "vm:NAME", a host's own series "host:NAME" and
  /// no VM name. Gaps stay gaps. What `take` throws ends it.
  virtual void range(const Past& past, const Take& take) = 0;
};

/// The uuid of a VM that is known by its name alone.
inline model::Uuid uuid_by_name(const model::VmName& vm) {
  return model::Uuid("vm:" + vm.get());
}

}  // namespace umbra::ports
