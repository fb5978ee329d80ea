// SPDX-License-Identifier: Apache-2.0
#pragma once
// The state that survives a run. Losing it loses history, never data.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "model/domain.hpp"
#include "model/metrics.hpp"
#include "model/sections.hpp"

namespace umbra::ports {

struct SampleRow {
  model::Uuid uuid;
  model::VmName vm;
  model::HostName host;
  model::Sample sample;
};

/// How much of the past stays.
struct Retention {
  base::Seconds keep;         ///< at least this long
  model::ByteCount max_size;  ///< of all samples; the oldest go where they are more, however young
};

/// Samples and the counters they came from. A series belongs to a uuid, so that a VM keeps its own when it is renamed,
/// resized or moved; a host's own has the uuid "host:NAME". What lies further back is coarser: one sample for several,
/// with their mean as value and their maximum as peak.
class HistoryStore {
 public:
  virtual ~HistoryStore() = default;
  /// Rows in any order. One of an instant that the series has already takes its place. What can be no fraction of a
  /// capacity (negative, not finite, beyond all measure) is left out, with a warning.
  virtual void append(std::span<const SampleRow> rows) = 0;
  /// Oldest first, no instant twice; an unknown uuid gives an empty series.
  virtual model::Series series(const model::Uuid& uuid, base::Instant since) = 0;
  /// Every series, one at a time, each as series() gives it, those without a sample since then too. `each` may use the
  /// store; a series of which it is told is as it was within the last moments, not all as of one instant.
  virtual void each_series(base::Instant since, const std::function<void(model::Series&&)>& each) = 0;
  /// A series as it was read, still packed: makes the one that it is given as series() gives it, whose memory serves
  /// anew. To be called from any thread, and without the store. Kind::corrupt where what was read is damaged.
  using Unpack = std::function<void(model::Series&)>;
  /// These series, in the order that is read soonest; `each` is told which of `uuids` it is. Unknown ones are passed
  /// by, and those forgotten meanwhile. `each` may use the store; a series of which it is told is as it was within the
  /// last moments, not all as of one instant.
  virtual void each_of(std::span<const model::Uuid> uuids, base::Instant since,
                       const std::function<void(std::size_t which, Unpack)>& each) = 0;
  virtual std::vector<model::Counters> last_counters() = 0;
  virtual void put_counters(std::span<const model::Counters> counters) = 0;
  /// Makes what has become old coarser and forgets what is too old or too much. To be called at least every hour while
  /// samples are added; costs little where nothing is due.
  virtual void tidy(base::Instant now, const Retention& retention) = 0;
};

struct ShadowRow {
  model::Uuid vm_uuid;
  model::VmName vm;
  model::ShadowId id;
  model::HostName primary_host;
  model::HostName host;
  model::ShadowLevel level = model::ShadowLevel::defined;
  bool from_pool = false;
  std::optional<model::Replica> replica;     ///< of the newest pass
  std::optional<model::StateSection> state;  ///< of the newest sync
};

class ShadowRegistry {
 public:
  virtual ~ShadowRegistry() = default;
  virtual void put(const ShadowRow& row) = 0;  ///< inserts or replaces by vm_uuid
  virtual std::optional<ShadowRow> find(const model::VmName& vm) = 0;
  virtual std::vector<ShadowRow> all() = 0;
  virtual void remove(const model::Uuid& vm_uuid) = 0;
};

struct PoolRow {
  model::ShadowId id;
  std::string flavour;
  model::HostName host;
};

class PoolRegistry {
 public:
  virtual ~PoolRegistry() = default;
  virtual void put(const PoolRow& row) = 0;
  virtual std::vector<PoolRow> all() = 0;
  /// True for exactly one caller: the row is gone then.
  virtual bool take(const model::ShadowId& id) = 0;
};

/// A section of a record, as JSON.
struct LedgerRow {
  model::Uuid vm;
  std::string section;
  std::string json;
  base::Instant at;
};

/// What verbs said and did, by VM and section.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual void add_sections(std::span<const LedgerRow> rows) = 0;  ///< all or none
  void add_section(const model::Uuid& vm, std::string_view section, const std::string& json, base::Instant at) {
    const LedgerRow row{vm, std::string(section), json, at};
    add_sections({&row, 1});
  }
  virtual std::optional<std::string> last_section(const model::Uuid& vm, std::string_view section) = 0;
  /// At most so many, newest last.
  virtual std::vector<std::string> sections(const model::Uuid& vm, std::string_view section, unsigned most) = 0;
  /// Forgets the oldest of what every run says anew, forecasts and placements: what is older than `keep`, and what is
  /// more than an eighth of `max_size`. The newest of each VM stays, and so do decisions, outcomes and rehearsals.
  virtual void tidy(base::Instant now, const Retention& retention) = 0;
};

/// A forecast model that was trained on the site's own history.
struct SiteModel {
  std::int64_t id = 0;
  base::Instant made;
  std::string name;
  std::string trial;  ///< in words: how it did before it was put in use
  bool in_use = false;
};

/// The site's models. At most one is in use; where none is, the one that ships.
class ModelStore {
 public:
  virtual ~ModelStore() = default;
  /// Keeps a model and puts it in use. The newest eight stay; those that were stepped back from go.
  virtual void put(const SiteModel& model, std::span<const std::byte> file) = 0;
  virtual std::vector<SiteModel> all() = 0;  ///< newest first
  /// The file of the one in use.
  virtual std::optional<std::vector<std::byte>> in_use() = 0;
  /// Back to the one before it, or to the one that ships; that model's row, nothing for the one that ships.
  /// Kind::invalid where that is in use already.
  virtual std::optional<SiteModel> step_back() = 0;
};

enum class StepPhase { intent, done, undone };

/// One line of a walk's journal. `data` is JSON that the step needs to be asked, finished or undone.
struct JournalEntry {
  std::string step;
  StepPhase phase = StepPhase::intent;
  std::string data;
  base::Instant at;
};

/// The kind of a walk for a VM whose host is lost.
inline constexpr const char* lost_host_kind = "from_point";

struct Walk {
  std::int64_t id = 0;
  std::string kind;  ///< "switchover", "rollback", lost_host_kind
  model::VmName vm;
  model::Uuid uuid;
  model::HostName from;
  model::HostName to;
  model::Epoch epoch;  ///< the one that the walk proposes
  std::string plan;    ///< JSON
  std::string state;   ///< "open", "done", "undone"
  base::Instant started;
};

/// The journal of switchovers. Every call is on disk, synced, when it returns.
class Journal {
 public:
  virtual ~Journal() = default;
  /// Kind::interrupted where one of the VM is open. One for a lost host may be opened beside one that the host's end
  /// has interrupted; it closes that one.
  virtual std::int64_t open_walk(const Walk& walk) = 0;
  virtual void append(std::int64_t walk, const JournalEntry& entry) = 0;
  virtual std::vector<JournalEntry> entries(std::int64_t walk) = 0;
  virtual void close_walk(std::int64_t walk, const std::string& state) = 0;
  virtual std::vector<Walk> open_walks() = 0;
  /// Newest first.
  virtual std::vector<Walk> walks(const model::Uuid& vm) = 0;
  /// The newest epoch known for the VM; 0 where it was never activated.
  virtual model::Epoch epoch(const model::Uuid& vm) = 0;
  /// Kind::refused where it would not grow.
  virtual void raise_epoch(const model::Uuid& vm, model::Epoch epoch) = 0;
};

/// Held as long as it lives; the kernel frees it when the process dies.
class Lease {
 public:
  virtual ~Lease() = default;
};

class Leases {
 public:
  virtual ~Leases() = default;
  /// The exclusive lease on a VM; Kind::busy where another run holds it after `wait`.
  virtual std::unique_ptr<Lease> acquire(const model::VmName& vm, base::Millis wait) = 0;
};

}  // namespace umbra::ports
