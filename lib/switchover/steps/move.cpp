// SPDX-License-Identifier: Apache-2.0
// move: live migration of memory and top layer. Writes are mirrored until the guest stops, so none is lost. What
// decides whether it happened is what both hosts say, never what this process saw.
#include <fmt/core.h>

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "switchover/steering.hpp"
#include "switchover/steps/steps.hpp"
#include "switchover/truth.hpp"

namespace umbra::switchover::steps {
namespace {

constexpr base::Millis look_every{50};
constexpr base::Millis abort_deadline{60'000};
constexpr base::Millis still_told_after{10'000};
constexpr base::Millis still_asked_after{2'000};

ports::MoveRequest request_of(const Walk& walk) {
  const Request& request = walk.request();
  ports::MoveRequest move;
  move.peer_uri = request.to.peer_uri;
  move.target_paths = walk.facts().top;
  move.networks = request.to.networks;
  move.tag = {model::Role::primary, walk.row().from, walk.row().epoch};
  move.bandwidth = request.policy.bandwidth;
  move.downtime_limit = Steering(request.policy.downtime_limit).limit();
  return move;
}

std::string reach_hint(const Walk& walk) {
  return fmt::format("see whether {} reaches {}: on {}, virsh -c {} version", walk.row().from.get(),
                     walk.row().to.get(), walk.row().from.get(), base::shell_word(walk.request().to.peer_uri));
}

/// Asks for the end and waits for it. True where the migration completed before it could be aborted.
bool abort(ports::Move& move, const Walk& walk) {
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

std::string rate(double bytes_per_s) {
  return fmt::format("{:.1f} MiB/s", bytes_per_s / (1 << 20));
}

base::Error stood_still(const Walk& walk) {
  return base::Error(
      base::Kind::timeout,
      fmt::format("nothing of the migration of {} from {} to {} moved for {}", walk.row().vm.get(),
                  walk.row().from.get(), walk.row().to.get(), base::to_human(base::Seconds(Steering::standstill))),
      reach_hint(walk));
}

base::Error not_converging(const Walk& walk, const ports::MoveProgress& now) {
  return base::Error(base::Kind::timeout,
                     fmt::format("{} changes memory at {}, {} get through: it does not converge within a blackout of "
                                 "{} ms",
                                 walk.row().vm.get(), rate(now.dirty_bytes_per_s), rate(now.bytes_per_s),
                                 walk.request().policy.downtime_limit.count()),
                     "raise `downtime_limit` or `bandwidth` of the VM, or move it when it is less busy");
}

/// Watches the migration to its end; returns where it completed, throws why it did not.
void steer(ports::Move& move, const Walk& walk) {
  const Ports& ports = walk.ports();
  Steering steering(walk.request().policy.downtime_limit);
  bool told = false;
  for (;;) {
    const ports::MoveProgress now = move.progress();
    if (now.state == ports::MoveProgress::State::done) return;
    if (now.state == ports::MoveProgress::State::failed) {
      throw base::Error(base::Kind::io, fmt::format("the migration of {} failed: {}", walk.row().vm.get(), now.error));
    }
    if (ports.cancel.requested()) {
      if (abort(move, walk)) return;
      ports.cancel.check();
    }
    const base::Millis time = ports.clock.steady();
    const Steering::Advice advice = steering.look(now, time);
    const bool still = steering.still(time) > still_told_after;
    // Its answer may be lost on a link that was cut as the guest arrived: then both hosts know better than the source.
    if (steering.still(time) > still_asked_after && has_arrived(walk)) return;
    if (still && !told) tell_standstill(walk);
    told = still;
    switch (advice) {
      case Steering::Advice::go_on:
        break;
      case Steering::Advice::raise_limit:
        move.set_downtime_limit(steering.limit());
        break;
      case Steering::Advice::give_up:
        if (abort(move, walk)) return;
        throw still ? stood_still(walk) : not_converging(walk, now);
    }
    ports.clock.pause(look_every);
  }
}

Json intend(Walk& walk) {
  return {{"downtime_limit_ms", walk.request().policy.downtime_limit.count()}};
}

/// Null where the source's host can't be watched: then a link that is cut in the last phase holds the guest for as long
/// as TCP and libvirt take to give up.
std::unique_ptr<ports::MoveGuard> guarded(const Walk& walk) {
  try {
    return walk.ports().transport.guard_move(walk.row().from, walk.row().uuid);
  } catch (const base::Error& e) {
    base::log(base::Level::warning, fmt::format("{}: the move is not watched on {}: {}", walk.row().vm.get(),
                                                walk.row().from.get(), e.what()));
    return nullptr;
  }
}

Json act(Walk& walk) {
  const auto guard = guarded(walk);
  steer(*walk.source().begin_move(walk.row().vm, request_of(walk)), walk);
  if (!has_moved(walk)) {
    throw base::Error(base::Kind::io, fmt::format("the migration of {} ended without moving it", walk.row().vm.get()));
  }
  return measured(walk);
}

/// The source runs on by itself and libvirt has removed the target's half: that is what "not moved" means.
void undo(Walk&) {}

}  // namespace

Step move() {
  return {"move", intend, act, has_moved, undo};
}

Json intend_nothing(Walk&) {
  return Json::object();
}

Json measured(Walk& walk) {
  Json json = Json::object();
  for (const model::HostName& host : {walk.row().to, walk.row().from}) {
    try {
      if (const auto ms = walk.ports().hypervisors.at(host).last_blackout_ms(walk.row().vm)) {
        json["blackout_ms"] = *ms;
        break;
      }
    } catch (const base::Error&) {
      // A measurement that is not there must not stop a guest that has moved; the outcome then has no blackout.
    }
  }
  return json;
}

model::RoleTag hibernated_tag(const Walk& walk) {
  return {model::Role::hibernated, walk.row().to, walk.row().epoch};
}

void confirm_epoch(Walk& walk) {
  const ports::Walk& row = walk.row();
  if (walk.ports().journal.epoch(row.uuid) < row.epoch) walk.ports().journal.raise_epoch(row.uuid, row.epoch);
  if (walk.from_lost_host()) return;  // its copy is marked by settle(), where it answers by then
  try {
    const auto old = walk.source().find(row.vm);
    if (old && old->state == model::DomainState::off && old->tag != hibernated_tag(walk)) {
      walk.source().set_tag(row.vm, hibernated_tag(walk));
    }
  } catch (const base::Error&) {
    // retire() replaces the whole definition and does not go on without the host; clients need not wait for that.
  }
}

}  // namespace umbra::switchover::steps
