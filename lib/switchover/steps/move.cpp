// SPDX-License-Identifier: Apache-2.0
// move: live migration of memory and top layer. Writes are mirrored until the guest stops, so none is lost. What
// decides whether it happened is what both hosts say, never what this process saw.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "model/units.hpp"
#include "switchover/estimate.hpp"
#include "switchover/halves.hpp"
#include "switchover/steering.hpp"
#include "switchover/steps/steps.hpp"
#include "switchover/truth.hpp"

namespace umbra::switchover::steps {
namespace {

constexpr base::Millis look_every{50};
constexpr base::Millis abort_deadline{60'000};
constexpr base::Millis still_told_after{10'000};
constexpr base::Millis still_asked_after{2'000};
/// For a guest that stands the target alone is asked, before the source is asked again.
constexpr base::Millis stands_at_first{2'000};
constexpr base::Millis asked_each{25};
/// For a migration that was asked for to become the guest's job: libvirt lets it wait half a minute for another's.
constexpr base::Millis job_shows_within{45'000};

Bounds bounds_of(const model::VmPolicy& policy) {
  return {policy.downtime_limit, policy.brownout_limit, policy.postcopy};
}

std::string reach_hint(const Walk& walk) {
  return fmt::format("see whether {} reaches {}: on {}, virsh -c {} version", walk.row().from.get(),
                     walk.row().to.get(), walk.row().from.get(), base::shell_word(walk.request().to.peer_uri));
}

/// Asks for the end and waits for it. True where the migration completed before it could be aborted.
bool abort(ports::Move& move, Walk& walk) {
  bool completed = false;
  const bool ended = base::wait_until(walk.ports().clock, abort_deadline, look_every, [&] {
    const auto state = move.progress().state;
    completed = state == ports::MoveProgress::State::done;
    if (state != ports::MoveProgress::State::running) return true;
    move.abort();  // each time: a job that has not begun yet does not hear it
    return false;
  });
  if (!ended)
    throw base::Error(base::Kind::timeout, "the migration did not end after it was aborted", reach_hint(walk));
  if (!completed) walk.note_failed_move();
  return completed;
}

void tell_standstill(const Walk& walk) {
  base::log(base::Level::warning,
            fmt::format(
                "{}: nothing of the migration from {} to {} has moved for {}; does their link hold? It is given "
                "up after {}",
                walk.row().vm.get(), walk.row().from.get(), walk.row().to.get(),
                base::to_human(base::Seconds(still_told_after)), base::to_human(base::Seconds(Steering::standstill))));
}

base::Error stood_still(const Walk& walk) {
  return base::Error(
      base::Kind::timeout,
      fmt::format("nothing of the migration of {} from {} to {} moved for {}", walk.row().vm.get(),
                  walk.row().from.get(), walk.row().to.get(), base::to_human(base::Seconds(Steering::standstill))),
      reach_hint(walk));
}

/// What would have helped, by what was seen.
std::string converging_hint(const model::VmPolicy& policy, const Steering& steering) {
  std::string hint;
  if (const auto needed = steering.needed(); needed && *needed > policy.downtime_limit)
    hint += fmt::format("allow a blackout of {} ms (`downtime_limit`), ", needed->count());
  if (policy.bandwidth) hint += "raise `bandwidth`, ";
  if (!policy.auto_converge) hint += "let it be slowed down (`auto_converge`), ";
  if (!policy.postcopy) hint += "let it be moved before its memory is (`postcopy`), ";
  return hint + "or move it when it is less busy";
}

base::Error not_converging(const Walk& walk, const Steering& steering, const ports::MoveProgress& now) {
  const model::VmPolicy& policy = walk.request().policy;
  const std::string within = steering.reason() == Steering::Reason::brownout
                                 ? fmt::format("a brownout of {}", base::to_human(*policy.brownout_limit))
                                 : fmt::format("a blackout of {} ms", policy.downtime_limit.count());
  const auto needed = steering.needed();
  return base::Error(
      base::Kind::timeout,
      fmt::format("{} changes memory at {}, {} get through: it does not converge within {}{}", walk.row().vm.get(),
                  model::to_human(model::ByteRate{now.dirty_bytes_per_s}),
                  model::to_human(model::ByteRate{now.bytes_per_s}), within,
                  needed ? fmt::format(", and would now need a blackout of {} ms", needed->count()) : ""),
      converging_hint(policy, steering));
}

/// From here on there is no way back, though the guest may be on its way for some moments yet.
void begin_postcopy(ports::Move& move, ports::MoveGuard* guard, const Walk& walk, const Steering& steering,
                    const ports::MoveProgress& now) {
  base::log(base::Level::warning, not_converging(walk, steering, now).message() + "; it is moved before its memory is");
  if (guard != nullptr) guard->let_be();
  move.start_postcopy();
}

/// Asks for the end of what can't converge or stands still; returns where it had completed.
void give_up(ports::Move& move, Walk& walk, const Steering& steering, const ports::MoveProgress& now) {
  if (abort(move, walk)) return;
  throw steering.reason() == Steering::Reason::standstill ? stood_still(walk) : not_converging(walk, steering, now);
}

/// The guest has stopped on the source and runs on the target. Whoever asks the source in that moment waits until it
/// has ended its QEMU, a second or more; the target alone is proof: it starts nobody whom the source has not handed
/// over.
bool is_there(const Walk& walk) {
  try {
    const auto target = walk.target().glance(walk.row().vm);
    return target && target->state == model::DomainState::running && target->tag.epoch == walk.row().epoch;
  } catch (const base::Error&) {
    return false;
  }
}

/// Waits for a guest that stands to be there, or the migration to end.
bool arrives(ports::Move& move, const Walk& walk) {
  bool there = false;
  base::wait_until(walk.ports().clock, stands_at_first, asked_each, [&] {
    there = is_there(walk);
    return there || move.state() != ports::MoveProgress::State::running;
  });
  return there;
}

/// Where the source can't tell, since the guest stands, or its answer may be lost on a link that was cut as the guest
/// arrived: the target is asked.
bool is_seen_there(ports::Move& move, const Walk& walk, const ports::MoveProgress& now, Asking& asking,
                   base::Millis still, base::Millis time) {
  if (!now.stopped && still <= still_asked_after) {
    asking.begin_anew();
    return false;
  }
  const bool at_first = asking.asked() == 0;
  if (!asking.due(time)) return false;
  return now.stopped && at_first ? arrives(move, walk) : is_there(walk);
}

/// Watches the migration until the guest is seen on the target (true), or it has ended; throws why it did not complete.
bool steer(ports::Move& move, ports::MoveGuard* guard, Walk& walk) {
  const Ports& ports = walk.ports();
  Steering steering(bounds_of(walk.request().policy));
  Asking asking;
  bool told = false;
  for (;;) {
    const ports::MoveProgress now = move.progress();
    if (now.state == ports::MoveProgress::State::done) return false;
    if (now.state == ports::MoveProgress::State::failed) {
      walk.note_failed_move();
      throw base::Error(base::Kind::io, fmt::format("the migration of {} failed: {}", walk.row().vm.get(), now.error));
    }
    if (ports.cancel.requested() && !now.postcopy) {
      if (abort(move, walk)) return false;
      ports.cancel.check();
    }
    const base::Millis time = ports.clock.steady();
    const Steering::Advice advice = steering.look(now, time);
    const bool still = steering.still(time) > still_told_after;
    if (is_seen_there(move, walk, now, asking, steering.still(time), time)) return true;
    if (still && !told) tell_standstill(walk);
    told = still;
    if (advice == Steering::Advice::raise_limit) move.set_downtime_limit(steering.limit());
    if (advice == Steering::Advice::start_postcopy) begin_postcopy(move, guard, walk, steering, now);
    if (advice == Steering::Advice::give_up) {
      give_up(move, walk, steering, now);
      return false;
    }
    ports.clock.pause(look_every);
  }
}

Json intend(Walk& walk) {
  const model::VmPolicy& policy = walk.request().policy;
  return {{"downtime_limit_ms", policy.downtime_limit.count()}, {"postcopy", policy.postcopy}};
}

/// A guest that is paused would arrive so. And the migration mirrors the newest layer of each disk alone: a layer that
/// somebody has put over the walk's, or a file that has come between it and the frozen one, would be missing on the
/// target.
void require_as_frozen(const Walk& walk) {
  const Facts& facts = walk.facts();
  const std::string vm = walk.row().vm.get();
  const auto domain = walk.source().glance(walk.row().vm);
  if (!domain || domain->state == model::DomainState::off)
    throw base::Error(base::Kind::io, fmt::format("{} ended on {} meanwhile", vm, walk.row().from.get()));
  if (domain->state == model::DomainState::paused)
    throw base::Error(base::Kind::io, fmt::format("{} was paused on {} meanwhile", vm, walk.row().from.get()),
                      fmt::format("{}, then: umbra switchover {}{}", walk.source().by_hand("resume", walk.row().vm),
                                  base::shell_word(vm), walk.going_back() ? " --rollback" : ""));
  for (const model::Disk& disk : domain->disks) {
    const auto overlay = facts.overlays.find(disk.name);
    if (overlay != facts.overlays.end() && disk.path == overlay->second && !disk.chain.empty() &&
        disk.chain.front() == facts.frozen.at(disk.name))
      continue;
    throw base::Error(
        base::Kind::io,
        fmt::format("disk {} of {} stands on {}, not on the layer of this walk: somebody has put a snapshot there, or "
                    "folded one, since its freeze",
                    disk.name.get(), vm, disk.path),
        fmt::format("let whoever did so, as a backup tool, end, then: umbra switchover {}{}", base::shell_word(vm),
                    walk.going_back() ? " --rollback" : ""));
  }
}

/// Once the migration holds the guest, libvirt refuses whoever would put a layer there: what is right then stays so.
/// A migration of anything else is aborted.
void require_as_frozen_held(ports::Move& move, Walk& walk) {
  const bool holds = base::wait_until(walk.ports().clock, job_shows_within, asked_each, [&] {
    return move.state() != ports::MoveProgress::State::running || move.holds_guest();
  });
  if (move.state() != ports::MoveProgress::State::running) return;  // what became of it is told by steer()
  try {
    if (!holds)
      throw base::Error(
          base::Kind::busy,
          fmt::format("the migration of {} had not begun after {}: another job of it is under way on {}",
                      walk.row().vm.get(), base::to_human(base::Seconds(job_shows_within)), walk.row().from.get()),
          "see which: " + walk.source().by_hand("domjobinfo", walk.row().vm));
    require_as_frozen(walk);
  } catch (const base::Error& e) {
    if (abort(move, walk))
      base::log(base::Level::error,
                fmt::format("{}, and the migration had ended before it could be aborted", e.what()));
    throw;
  }
}

Json act(Walk& walk) {
  std::shared_ptr<ports::MoveGuard> guard = guarded(walk);
  require_as_frozen(walk);
  std::shared_ptr<ports::Move> move = walk.source().begin_move(walk.row().vm, move_request(walk));
  require_as_frozen_held(*move, walk);
  const bool seen_there = steer(*move, guard.get(), walk);
  walk.hold(move, std::move(guard));
  if (!seen_there && !has_moved(walk)) {
    throw base::Error(base::Kind::io, fmt::format("the migration of {} ended without moving it", walk.row().vm.get()));
  }
  move->let_source_end(source_ends_within);
  return Json::object();
}

/// That it has not moved means that libvirt has removed the target's half. The guest runs on on the source by itself,
/// unless libvirt tried that while the guard held it.
void undo(Walk& walk) {
  let_go_on(walk);
}

}  // namespace

Step move() {
  return {"move", intend, act, has_moved, undo};
}

Json intend_nothing(Walk&) {
  return Json::object();
}

std::unique_ptr<ports::PointStore> far_end(const Walk& walk) {
  return walk.ports().transport.connect(walk.row().to);
}

ports::MoveRequest move_request(const Walk& walk) {
  const Request& request = walk.request();
  ports::MoveRequest move;
  move.peer_uri = request.to.peer_uri;
  move.target_paths = walk.facts().top;
  move.networks = request.to.networks;
  move.tag = {model::Role::primary, walk.row().from, walk.row().epoch};
  move.bandwidth = request.policy.bandwidth;
  move.downtime_limit = Steering(bounds_of(request.policy)).limit();
  move.auto_converge = throttle_of(request.policy, walk.facts().estimate);
  move.postcopy = request.policy.postcopy;
  return move;
}

std::unique_ptr<ports::MoveGuard> guarded(const Walk& walk) {
  std::vector<std::string> images;
  for (const auto& [disk, overlay] : walk.facts().overlays) images.push_back(overlay);
  try {
    return walk.ports().transport.guard_move(walk.row().from, walk.row().uuid, images);
  } catch (const base::Error& e) {
    base::log(base::Level::warning, fmt::format("{}: the move is not watched on {}: {}", walk.row().vm.get(),
                                                walk.row().from.get(), e.what()));
    return nullptr;
  }
}

void let_go_on(const Walk& walk) {
  const ports::Walk& row = walk.row();
  const auto here = walk.source().glance(row.vm);
  if (!here || here->state != model::DomainState::paused) return;
  try {
    if (!walk.ports().transport.end_guard(row.from, row.uuid)) return;
  } catch (const base::Error& e) {
    if (e.kind() == base::Kind::unsupported) return;  // no guard can be there
    throw;
  }
  walk.source().resume(row.vm);
  base::log(base::Level::info, fmt::format("{} had been handed over, and the answer was lost: it goes on on {}",
                                           row.vm.get(), row.from.get()));
}

model::RoleTag hibernated_tag(const Walk& walk) {
  return {model::Role::hibernated, walk.row().to, walk.row().epoch};
}

void confirm_epoch(Walk& walk) {
  const ports::Walk& row = walk.row();
  if (walk.ports().journal.epoch(row.uuid) < row.epoch) walk.ports().journal.raise_epoch(row.uuid, row.epoch);
}

}  // namespace umbra::switchover::steps
