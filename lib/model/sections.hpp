// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sections of the record, one struct per verb's answer. Field by field they are the JSON of schema umbra/1.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "model/file_stamp.hpp"
#include "model/ids.hpp"
#include "model/metrics.hpp"

namespace umbra::model {

enum class Priority { critical, high, normal, low };
std::string_view to_string(Priority priority);
std::optional<Priority> priority_from_string(std::string_view text);

/// How ready a shadow is, in rising order.
enum class ShadowLevel { defined, seeded, warm, hot, active };
std::string_view to_string(ShadowLevel level);
std::optional<ShadowLevel> level_from_string(std::string_view text);

struct Vm {
  VmName name;
  Uuid uuid;
  HostName host;
  Priority priority = Priority::normal;
};

struct Quantiles {
  double p10 = 0;
  double p50 = 0;
  double p90 = 0;
};

struct ResourceForecast {
  double now = 0;
  double threshold = 0.9;
  std::string threshold_source;             ///< "configured", "learned", "default"
  std::string threshold_reason;             ///< one sentence with the numbers
  double p_saturation = 0;                  ///< that the maximum over the window reaches the threshold
  std::optional<Quantiles> saturates_in_s;  ///< where it comes at all; absent where nothing is known of it
  Quantiles peak;
  double expected_cost_s = 0;  ///< of waiting; seconds of unmet demand weighted by priority
  double confidence = 0;       ///< how much of the last four windows was seen
};

struct Forecast {
  base::Instant made_at;
  double within_s = 0;
  bool trigger = false;             ///< waiting is expected to cost as much as acting, or more
  std::optional<Resource> binding;  ///< where waiting costs most; absent without a trigger
  double acting_cost_s = 0;         ///< perhaps in vain; in the unit of expected_cost_s
  std::map<Resource, ResourceForecast> resources;
  std::string model;           ///< the one that was used
  std::string model_fallback;  ///< why the one that was asked for was not; empty: it was
  double history_s = 0;
  std::uint64_t samples = 0;
  std::string source;
};

struct Placement {
  HostName host;
  double score = 0;
  std::map<std::string, double> terms;
  double migration_s = 0;
  std::map<HostName, std::string> rejected;
  std::vector<HostName> alternatives;  ///< best first
};

struct ShadowSection {
  ShadowId id;
  HostName host;
  ShadowLevel level = ShadowLevel::defined;
  bool from_pool = false;
};

struct Phase {
  std::string name;
  double ms = 0;
};

struct Replica {
  PointNumber point;
  base::Digest root;
  base::Instant taken_at;
  double lag_s = 0;
  ByteCount dirty;        ///< bytes that the pass had to look at: the sum of the next four
  ByteCount data;         ///< bytes told, before compression
  ByteCount zero;         ///< bytes that became zero
  ByteCount resumed;      ///< bytes that an earlier, cut pass had sent
  ByteCount skipped;      ///< bytes that the shadow has already
  ByteCount sent;         ///< bytes on the wire; written, where the point lies on this machine
  bool verified = false;  ///< the point was read back, and is what was sent
  std::optional<bool>
      quiesced;        ///< whether the guest's file systems were frozen for its instant; of a running VM alone
  std::string method;  ///< "full", "bitmap", "above", "digest"
  std::string why;     ///< why this method, where it is not the cheapest
  double duration_s = 0;
  std::vector<Phase> phases;                   ///< of `duration_s`, in their order
  std::map<DiskName, FileStamp> images_off{};  ///< of a VM that was off: its images before they were read
  std::optional<base::Instant> next_due;       ///< absent where it is known of no time
  std::string due_reason;
  std::optional<double> rpo_s;  ///< that `next_due` was reckoned for
  /// The age that the newest point before had reached when this one became restorable; absent where there was none.
  std::optional<double> previous_age_s;
  std::optional<bool> rpo_met;  ///< whether that was within `rpo_s`; absent where either is
};

struct GuestProcess {
  std::int64_t pid = 0;
  std::string name;
  std::int64_t started_ticks = 0;  ///< since the guest's boot
  auto operator<=>(const GuestProcess&) const = default;
};

struct GuestActivity {
  std::vector<GuestProcess> processes;
  std::uint64_t open_files = 0;
  std::optional<double> uptime_s{};  ///< since the guest's boot; absent where the agent can't tell
};

struct StateSection {
  ShadowLevel level = ShadowLevel::warm;
  PointNumber point;
  ByteCount memory;
  ByteCount sent;
  std::optional<std::uint64_t> processes;  ///< absent where no agent answers
  std::optional<std::uint64_t> open_files;
  double paused_ms = 0;  ///< how long the guest stood still for the instant
};

struct Decision {
  bool migrate = false;
  double net_benefit = 0;  ///< gain - cost, seconds of unmet demand weighted by priority
  double threshold = 0;
  double gain = 0;
  double cost = 0;
  std::map<std::string, double> inputs;  ///< every number that was used
  std::vector<std::string> reasons;
  std::vector<std::string> would_change;  ///< what would have changed the answer
  std::string model;
};

struct Outcome {
  std::string result;  ///< "switched", "activated", "stayed", "rolled_back", "recovered", "planned"
  // Measured after the walk, and estimated before it.
  std::optional<double> blackout_ms;
  std::optional<double> blackout_estimate_ms;
  std::optional<double> blackout_model_ms;  ///< the estimate before earlier walks corrected it
  std::optional<double> brownout_ms;        ///< the guest ran, slowed by the copying of its memory and of what it wrote
  std::optional<double> brownout_estimate_ms;
  std::optional<ByteCount> sent;  ///< the last delta and the migration, on the wire
  std::optional<ByteCount> sent_estimate;
  std::vector<Phase> phases;
  std::optional<double> lost_s;  ///< before this, what was written is not there: of a point that was activated
  std::string primary;           ///< "hibernated", "decommissioned", "lost"
  Epoch epoch;
  HostName host;  ///< where the VM runs now
  std::vector<std::string> notes;
};

struct RecordError {
  base::Kind kind = base::Kind::internal;
  std::string verb;
  std::string message;
  std::string hint;
};

}  // namespace umbra::model
