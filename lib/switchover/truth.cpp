// SPDX-License-Identifier: Apache-2.0
#include "switchover/truth.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace umbra::switchover {
namespace {

using model::DomainState;

constexpr base::Millis between_looks{500};
/// Above libvirt's own keepalive of 5 x 5 s, after which it settles a migration whose link was cut.
constexpr base::Millis unclear_deadline{60'000};
/// A migration that is seen to go on is waited for longer.
constexpr base::Millis migration_deadline{30 * 60'000};

enum class Answer { moved, moved_and_half_left, not_moved, under_way, unclear };

struct Sight {
  Answer answer = Answer::unclear;
  std::string seen;
};

bool active(const std::optional<model::Domain>& domain) {
  return domain && domain->state != DomainState::off;
}
bool running(const std::optional<model::Domain>& domain) {
  return domain && domain->state == DomainState::running;
}
/// Stopped without a migration under way: by an error of its disk's storage, or by hand. So is a source whose libvirtd
/// was restarted before it heard that the guest had arrived.
bool stands(const std::optional<model::Domain>& domain) {
  return domain && domain->state == DomainState::paused && !domain->job;
}
std::string_view state_of(const std::optional<model::Domain>& domain) {
  return domain ? to_string(domain->state) : "absent";
}

Sight look(const Walk& walk) {
  const ports::Walk& row = walk.row();
  try {
    const auto source = walk.source().find(row.vm);
    const auto target = walk.target().find(row.vm);
    Sight look{Answer::unclear,
               fmt::format("{} on {}, {} on {}", state_of(source), row.from.get(), state_of(target), row.to.get())};
    // The target's definition gets the epoch with the migration: one started from the shadow's has an older one.
    const bool arrived = target && target->tag.epoch == row.epoch;
    if (running(target) && !active(source)) {
      look.answer = arrived ? Answer::moved : Answer::unclear;
    } else if (arrived && ((running(target) && !running(source)) || (!active(target) && stands(source)))) {
      look.answer = Answer::moved_and_half_left;
    } else if (!active(target) && !active(source)) {
      look.answer = arrived ? Answer::moved : Answer::not_moved;
    } else if (running(source) && source->job) {
      look.answer = Answer::under_way;
    } else if ((running(source) || (stands(source) && !arrived)) && !active(target)) {
      look.answer = Answer::not_moved;
    }
    return look;
  } catch (const base::Error& e) {
    return {Answer::unclear, e.what()};
  }
}

}  // namespace

bool has_arrived(const Walk& walk) {
  const Answer answer = look(walk).answer;
  return answer == Answer::moved || answer == Answer::moved_and_half_left;
}

bool has_moved(Walk& walk) {
  base::Clock& clock = walk.ports().clock;
  const base::Millis began = clock.steady();
  base::Millis last_under_way = began;
  unsigned not_moved_in_a_row = 0;
  for (;;) {
    const Sight now = look(walk);
    const base::Millis at = clock.steady();
    if (now.answer == Answer::moved) return true;
    if (now.answer == Answer::moved_and_half_left) {
      // Its libvirt has not heard that the guest has gone, and might let it go on here. All that it was told is written
      // lies on the target's disks: the migration was over before the target's definition got this epoch.
      walk.source().destroy(walk.row().vm);
      return true;
    }
    // Twice: a migration that was asked for just before Umbra died may not show yet.
    not_moved_in_a_row = now.answer == Answer::not_moved ? not_moved_in_a_row + 1 : 0;
    if (not_moved_in_a_row == 2) return false;
    if (now.answer == Answer::under_way) last_under_way = at;
    if (at - last_under_way > unclear_deadline || at - began > migration_deadline) {
      throw base::Error(
          base::Kind::interrupted, fmt::format("where {} runs cannot be proved: {}", walk.row().vm.get(), now.seen),
          fmt::format("make both hosts answer, then: umbra switchover --recover {}", base::shell_word(walk.row().vm)));
    }
    clock.pause(between_looks);
  }
}

}  // namespace umbra::switchover
