// SPDX-License-Identifier: Apache-2.0
#include "switchover/truth.hpp"

#include <fmt/core.h>

#include <array>
#include <tuple>

#include "base/text.hpp"
#include "switchover/halves.hpp"

namespace umbra::switchover {
namespace {

using model::DomainState;
using model::Postcopy;

constexpr base::Millis between_looks{500};
/// Above libvirt's own keepalive of 5 x 5 s, after which it settles a migration whose link was cut.
constexpr base::Millis unclear_deadline{60'000};
/// A migration that is seen to go on is waited for longer.
constexpr base::Millis migration_deadline{30 * 60'000};

using Half = std::optional<model::Domain>;

bool active(const Half& half) {
  return half && half->state != DomainState::off;
}
bool running(const Half& half) {
  return half && half->state == DomainState::running;
}
/// Stopped without a migration under way: by an error of its disk's storage, or by hand. So is a source whose libvirtd
/// was restarted before it heard that the guest had arrived, or that the guard held back.
bool stands(const Half& half) {
  return half && half->state == DomainState::paused && !half->job;
}
/// As the guest itself that stands there, not what a migration is yet to bring: that has none of it.
bool stands_there(const Half& target) {
  return stands(target) && !target->is_half;
}
/// It has not run since a migration took it; what stands otherwise may have gone on.
bool is_handed_over(const Half& source) {
  return stands(source) && source->is_half;
}
Postcopy postcopy_of(const Half& half) {
  return half ? half->postcopy : Postcopy::none;
}
std::string state_of(const Half& half) {
  if (!half) return "absent";
  constexpr std::array<std::string_view, 3> words{"", ", in post-copy", ", its post-copy failed"};
  return fmt::format("{}{}", to_string(half->state), words[static_cast<std::size_t>(half->postcopy)]);
}

/// What is known beside both states.
struct Known {
  bool move_failed = false;  ///< this process has heard it
  bool not_moved = false;    ///< proved once, and noted in the journal: it may have gone on on the source since
};
Known known_of(const Walk& walk) {
  return {walk.saw_move_fail(), walk.facts().not_moved};
}

/// Once post-copy has begun, the guest is the target's.
Answer answer_in_postcopy(const Half& source, const Half& target, bool arrived) {
  if (running(source)) return Answer::unclear;
  if (!active(target)) return arrived ? Answer::lost_there : Answer::lost_here;
  if (!arrived) return Answer::unclear;
  // Whole again: all of its memory came, or it was started anew by hand after it had ended.
  if (running(target) && postcopy_of(target) == Postcopy::none && postcopy_of(source) == Postcopy::failed)
    return Answer::half_left;
  const bool failed = postcopy_of(source) == Postcopy::failed || postcopy_of(target) == Postcopy::failed;
  if (failed) return active(source) ? Answer::postcopy_failed : Answer::lost_there;
  return running(target) ? Answer::postcopy_runs : Answer::unclear;
}

/// Off, with the definition that the migration has brought, and not running on the source. Data are lost by going back
/// where it has run there, by going on where it has run on here.
Answer answer_of_off_there(const Half& source, const model::Domain& target, const Known& known) {
  // Its host could not let it run, and nothing was written there. It says the same of any later start that fails: who
  // saw the migration fail knows of which it speaks.
  if (target.start_failed) return known.not_moved || known.move_failed ? Answer::not_moved : Answer::unclear;
  // It was started there since, or libvirt there has forgotten that it could not.
  if (known.not_moved && source) return Answer::unclear;
  if (!active(source)) return Answer::moved;
  return is_handed_over(source) ? Answer::half_left : Answer::unclear;
}

Answer answer_of(const Half& source, const Half& target, bool arrived, const Known& known) {
  // Somebody has started it there since, and it may have gone on here before. Who wants to keep what is there undefines
  // it here.
  if (known.not_moved && active(target) && source && !is_handed_over(source)) return Answer::unclear;
  if (postcopy_of(source) != Postcopy::none || postcopy_of(target) != Postcopy::none)
    return answer_in_postcopy(source, target, arrived);
  if (running(target) && !active(source)) return arrived ? Answer::moved : Answer::unclear;
  if (stands_there(target) && !active(source) && arrived) return Answer::stands_there;
  if (running(target) && arrived && !running(source)) {
    if (source->job) return Answer::half_ends;
    return is_handed_over(source) ? Answer::half_left : Answer::unclear;
  }
  if (!active(target) && arrived && !running(source)) return answer_of_off_there(source, *target, known);
  if (!active(target) && !active(source)) return Answer::not_moved;
  if (running(source) && source->job) return Answer::under_way;
  if ((running(source) || (stands(source) && !arrived)) && !active(target)) return Answer::not_moved;
  return Answer::unclear;
}

constexpr const char* undefine = "undefine --keep-nvram --keep-tpm --checkpoints-metadata";

/// What the operator can do about a picture that proves nothing.
std::string hint_of(const Walk& walk, const Half& source, const Half& target, bool arrived) {
  const model::VmName& vm = walk.row().vm;
  const auto begun_by_hand = [&] {
    return fmt::format("it was begun on {} by hand, and paused: {}", walk.row().to.get(),
                       walk.target().by_hand("destroy", vm));
  };
  if (running(source) && running(target)) {
    // The guest that the migration brought has the newer epoch, and clients go to it.
    const auto& [old, host] = arrived && !walk.facts().not_moved ? std::tie(walk.source(), walk.row().from)
                                                                 : std::tie(walk.target(), walk.row().to);
    return fmt::format("it runs twice: stop the one on {}, which is not the guest that clients had: {}", host.get(),
                       old.by_hand("destroy", vm));
  }
  if (running(target) && !arrived)
    return fmt::format("it was started on {} by hand: {}", walk.row().to.get(), walk.target().by_hand("destroy", vm));
  if (target && target->state == DomainState::paused && target->is_half && !running(source))
    return fmt::format("what a migration was to bring still waits on {}; where nothing comes any more: {}",
                       walk.row().to.get(), walk.target().by_hand("destroy", vm));
  if (running(source) && !source->job && stands_there(target)) return begun_by_hand();
  if (walk.facts().not_moved && arrived && !running(source)) {
    const auto away = [&vm](ports::Hypervisor& host, const Half& half) {
      return (active(half) ? host.by_hand("destroy", vm) + ", " : "") + host.by_hand(undefine, vm);
    };
    return fmt::format(
        "it had not moved, and may have been started on {0} since: where what it wrote there can go: {1}; "
        "where what it wrote on {2} since can: {3}",
        walk.row().to.get(), away(walk.target(), target), walk.row().from.get(), away(walk.source(), source));
  }
  if (running(target) && arrived && !running(source))
    return fmt::format("where it has not gone on on {} since it left: {}", walk.row().from.get(),
                       walk.source().by_hand("destroy", vm));
  if (!active(target) && arrived && !running(source) && !(source && source->job))
    return fmt::format("where it has run on {0} since it left {1}: {2}; where it has not: {3}", walk.row().to.get(),
                       walk.row().from.get(), walk.target().by_hand("start", vm), walk.target().by_hand(undefine, vm));
  // It may have run on the target, and written there.
  if (stands(source) && stands(target) && arrived)
    return fmt::format("it is paused on both, and had arrived: {}", walk.target().by_hand("resume", vm));
  if (stands(source) && stands(target))
    return fmt::format("it is paused on both: {}", walk.target().by_hand("destroy", vm));
  if (stands(target) && !active(source)) return begun_by_hand();
  return "see what libvirt does: " + walk.source().by_hand("domjobinfo", vm);
}

}  // namespace

Look look(const Walk& walk) {
  const ports::Walk& row = walk.row();
  try {
    const auto source = walk.source().glance(row.vm);
    const auto target = walk.target().glance(row.vm);
    // The target's definition gets the epoch with the migration: one started from the shadow's has an older one.
    const bool arrived = target && target->tag.epoch == row.epoch;
    const Answer answer = answer_of(source, target, arrived, known_of(walk));
    return {answer, fmt::format("{} on {}, {} on {}", state_of(source), row.from.get(), state_of(target), row.to.get()),
            answer == Answer::unclear ? hint_of(walk, source, target, arrived) : ""};
  } catch (const base::Error& e) {
    return {Answer::unclear, e.what(),
            fmt::format(
                "make both hosts answer, or where one is gone for good: umbra switchover --recover {} --forget HOST",
                base::shell_word(row.vm))};
  }
}

bool has_arrived(const Walk& walk) {
  const Answer answer = look(walk).answer;
  return answer == Answer::moved || answer == Answer::half_left || answer == Answer::half_ends ||
         answer == Answer::postcopy_runs;
}

namespace {

/// What one look proves; nothing where it must be looked at again. `before` is the look before this one.
std::optional<bool> proved(Walk& walk, Answer now, Answer before) {
  switch (now) {
    case Answer::moved:
    case Answer::postcopy_runs:
    case Answer::postcopy_failed:
      return true;
    case Answer::half_left:
    case Answer::lost_there:
      end_old_half(walk);
      return true;
    case Answer::half_ends:
      if (walk.holds_move()) return true;
      end_old_half(walk);
      return true;
    case Answer::stands_there:
      // Twice: what is about to go on shows so.
      return before == now ? std::optional(true) : std::nullopt;
    case Answer::lost_here:
      if (before != now) return std::nullopt;
      walk.source().destroy(walk.row().vm);  // it can go on neither here nor there; undoing starts it anew
      return false;
    case Answer::not_moved:
      // Twice: a migration that was asked for just before Umbra died may not show yet.
      return before == now ? std::optional(false) : std::nullopt;
    case Answer::under_way:
    case Answer::unclear:
      break;
  }
  return std::nullopt;
}

}  // namespace

bool has_moved(Walk& walk) {
  base::Clock& clock = walk.ports().clock;
  const base::Millis began = clock.steady();
  base::Millis last_under_way = began;
  Answer before = Answer::unclear;
  for (;;) {
    const Look now = look(walk);
    const base::Millis at = clock.steady();
    if (const auto answer = proved(walk, now.answer, before)) return *answer;
    before = now.answer;
    if (now.answer == Answer::under_way) last_under_way = at;
    if (at - last_under_way > unclear_deadline || at - began > migration_deadline ||
        (walk.ports().cancel.requested() && at - began > patience_once_stopped)) {
      throw base::Error(base::Kind::interrupted,
                        fmt::format("where {} runs cannot be proved: {}", walk.row().vm.get(), now.seen),
                        fmt::format("{}; then: umbra switchover --recover {}",
                                    now.hint.empty() ? "wait for its end" : now.hint, base::shell_word(walk.row().vm)));
    }
    clock.pause(between_looks);
  }
}

}  // namespace umbra::switchover
