// SPDX-License-Identifier: Apache-2.0
#pragma once
// What all steps of a walk share: the step as a value, the facts read back from the journal, and the two ways through
// the list. The state is nothing but the fold over the journal's entries, so a walk that recovers knows exactly what
// the walk that died had written.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/domain.hpp"
#include "model/points.hpp"
#include "model/record_json.hpp"
#include "switchover/switchover.hpp"

namespace umbra::switchover {

struct Survey;

using model::Json;
using DiskPaths = std::map<model::DiskName, std::string>;

/// What was expected of a walk when it began.
struct Estimate {
  Cost cost;
  Cost modelled;                   ///< before earlier walks corrected it
  model::ByteRate dirty;           ///< at which the guest changed memory
  model::ByteRate rate;            ///< at which it is taken to be sent
  model::ByteCount delta;          ///< of `bytes`: what is sent before the migration
  std::vector<std::string> notes;  ///< what it stands on; not in the journal
};

/// What is defined on the target before the migration puts the VM there.
struct StandIn {
  bool is_defined = false;
  model::RoleTag tag;
  DiskPaths disks;
};

/// What the journal's entries say, step by step.
struct Facts {
  // lease
  std::optional<Estimate> estimate;
  DiskPaths frozen;           ///< the disks' files before the walk; from freeze on they never change again
  model::PointNumber parent;  ///< newest point of the shadow then
  // freeze
  DiskPaths overlays;
  std::optional<model::RoleTag> tag;  ///< of the VM before the walk
  base::Instant taken_at;
  bool quiesced = false;
  // finish
  model::PointNumber point;  ///< holds what the frozen files hold; 0 until it is committed
  base::Digest root;
  model::ByteCount sent;
  // prepare
  std::string purpose;  ///< names the top layer in the point store
  DiskPaths top;
  bool autostart = false;           ///< of the VM before the walk
  std::optional<StandIn> stand_in;  ///< absent in older walks
  // move; of a lost host's VM, both raise and fence
  bool moved = false;
  bool not_moved = false;  ///< proved, and being taken back: the guest may have gone on on the source since
  bool raised = false;
  bool fenced = false;
  // retire
  std::optional<double> blackout_ms;
  std::optional<double> brownout_ms;
  std::optional<model::ByteCount> moved_bytes;  ///< by the migration
  // activate
  std::optional<double> lost_s;
  // redirect
  bool undoing = false;              ///< the redirectors were called to undo
  std::vector<std::string> to_call;  ///< by the newest intent, in order
  std::set<std::string> redirected;  ///< those whose call may have changed something
  std::optional<bool> healthy;       ///< absent where there is no probe
  std::vector<std::string> notes;

  void learn(const ports::JournalEntry& entry);
};

using ports::lost_host_kind;

/// One walk under way: its row in the journal, its facts, and the ports.
class Walk {
 public:
  /// Nothing is written: `row` is the journal's, `entries` what it holds of the walk so far.
  Walk(const Ports& ports, ports::Walk row, Request request, std::vector<ports::JournalEntry> entries);

  const Ports& ports() const { return m_ports; }
  const ports::Walk& row() const { return m_row; }
  const Request& request() const { return m_request; }
  const Facts& facts() const { return m_facts; }
  bool going_back() const { return m_row.kind == "rollback"; }
  bool from_lost_host() const { return m_row.kind == lost_host_kind; }
  ports::Hypervisor& source() const { return m_ports.hypervisors.at(m_row.from); }
  ports::Hypervisor& target() const { return m_ports.hypervisors.at(m_row.to); }

  /// Appends to the journal, synced, and learns it.
  void write(std::string_view step, ports::StepPhase phase, const Json& data);
  /// The newest phase written of a step; nothing where it was not begun.
  std::optional<ports::StepPhase> phase_of(std::string_view step) const;
  void close(const std::string& state);

  /// Milliseconds from each step's intent to its result.
  std::vector<model::Phase> phases() const;
  model::Outcome outcome(const std::string& result) const;

  /// The migration under way, and what guards it: until nothing of the guest is left on the source.
  void hold(std::shared_ptr<ports::Move> move, std::shared_ptr<ports::MoveGuard> guard) {
    m_move = std::move(move);
    m_guard = std::move(guard);
  }
  /// Whether this process began the migration and nothing of it has been let go.
  bool holds_move() const { return m_move != nullptr; }
  /// This process began the migration, and has heard that it failed.
  void note_failed_move() { m_saw_move_fail = true; }
  bool saw_move_fail() const { return m_saw_move_fail; }

  /// This run made sure that the host runs nothing any more, or was told to believe it.
  void note_dead(const model::HostName& host) { m_dead.insert(host); }
  bool is_dead(const model::HostName& host) const { return m_dead.contains(host); }

  /// The guest had ended, and was started again where it belongs.
  void note_started_anew() { m_started_anew = true; }
  /// Asked anew: "it runs on alpha as before", or what keeps it from running and what to type then.
  std::string where_it_runs() const;

 private:
  const Ports& m_ports;
  ports::Walk m_row;
  Request m_request;
  std::vector<ports::JournalEntry> m_entries;
  Facts m_facts;
  std::shared_ptr<ports::Move> m_move;
  std::shared_ptr<ports::MoveGuard> m_guard;
  std::set<model::HostName> m_dead;
  bool m_started_anew = false;
  bool m_saw_move_fail = false;
};

/// One step of the walk. All but `act` may be called any number of times, by any run.
struct Step {
  std::string_view name;
  /// What the act is about to touch: enough to undo it when nothing else was written.
  std::function<Json(Walk&)> intend;
  /// Does it, whole; gives what the later steps need. After the move it may be called again.
  std::function<Json(Walk&)> act;
  /// Asks hosts and stores whether it happened.
  std::function<bool(Walk&)> happened;
  /// Takes it back, as far as it happened; empty for steps that follow the move.
  std::function<void(Walk&)> undo;
};

/// The steps on either side of the irreversible point.
struct Steps {
  std::vector<Step> before;  ///< taken back where the walk fails; the last of them is the move
  std::vector<Step> after;   ///< from here on the guest runs on the shadow: only ever finished
};

/// freeze finish prepare move | redirect retire reverse. The lease is what the walk itself holds.
Steps live_steps();
/// raise fence | activate redirect settle.
Steps lost_host_steps();
/// Those of a row of that kind.
Steps steps_of(const std::string& kind);
/// As phases of 0 ms, for a plan.
std::vector<model::Phase> phases_of(const Steps& steps);

/// What was expected, into an outcome.
void add_estimate(model::Outcome& outcome, const Cost& cost, const Cost& modelled);

/// The whole walk; the lease is taken. `kind` is "switchover" or "rollback".
model::Outcome walk_through(const Ports& ports, const Request& request, const std::string& kind, const Steps& steps);
/// Opens the walk's row: the intent of its lease.
Walk open_walk(const Ports& ports, const Request& request, const std::string& kind, const Survey& seen);
/// Notes the lease, and takes the steps before the line. Throws once all is taken back. Once it is crossed, returns
/// what start_where_it_ended() says.
std::string walk_to_the_line(Walk& walk, const Json& lease, const Steps& steps);
/// A guest that ended on the target after the move, as with its host, is started there again, unless it is up on the
/// source: one runs after a walk. Why it could not be, where it could not; the walk is finished all the same.
std::string start_where_it_ended(Walk& walk);
/// Finishes or takes back one open walk of the journal; the lease is taken.
Recovered recover_walk(const Ports& ports, const ports::Walk& row, const Steps& steps);

/// Runs what is left of the steps that follow the move, and closes the walk. Kind::interrupted where one fails.
void finish_forward(Walk& walk, const Steps& steps);
/// Undoes the steps that were begun, last first, and closes the walk. Kind::interrupted where one fails.
void take_back(Walk& walk, const Steps& steps);
/// What follows from a failed health probe: the walk back, where the policy wants it; else `outcome` as it is.
model::Outcome answer_probe(const Walk& walk, model::Outcome outcome, const Steps& steps);

}  // namespace umbra::switchover
