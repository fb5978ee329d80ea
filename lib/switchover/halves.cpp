// SPDX-License-Identifier: Apache-2.0
#include "switchover/halves.hpp"

#include <fmt/core.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "switchover/steps/steps.hpp"
#include "switchover/truth.hpp"

namespace umbra::switchover {
namespace {

constexpr base::Millis half_asked_each{100};
/// For memory that follows.
constexpr base::Millis postcopy_deadline{30 * 60'000};
constexpr base::Millis resume_deadline{30'000};
constexpr base::Millis mended_within{20'000};
constexpr base::Millis mended_each{1'000};

/// The guest's memory was on two hosts, and one half of it has ended.
void start_anew(Walk& walk) {
  const model::VmName& vm = walk.row().vm;
  base::log(base::Level::warning,
            fmt::format("{}: part of its memory ended with its half on one host; it is started anew on {}", vm.get(),
                        walk.row().to.get()));
  walk.target().destroy(vm);
  walk.target().start(vm);
  walk.note_started_anew();
}

base::Error postcopy_failed(const Walk& walk, const std::string& why) {
  const ports::Walk& row = walk.row();
  return base::Error(
      base::Kind::interrupted,
      fmt::format("{} is on {} with part of its memory still on {}, and the rest does not follow: {}", row.vm.get(),
                  row.to.get(), row.from.get(), why),
      fmt::format(
          "end neither half. Make the link between {0} and {1} hold, then: umbra switchover --recover {2}. Where "
          "the rest does not follow though it holds, what is in memory alone is lost: {3}, and --recover "
          "starts it anew from its disks, on which every acknowledged write is",
          row.from.get(), row.to.get(), base::shell_word(row.vm), walk.source().by_hand("destroy", row.vm)));
}

/// Nobody needs a half that stands beside a guest that runs, or has ended, on the target. All that the guest was told
/// is written lies on the target's disks: the migration was over before the target's definition got this epoch.
void drop_half(Walk& walk, Answer answer) {
  walk.source().destroy(walk.row().vm);
  if (answer == Answer::lost_there) start_anew(walk);
}

/// Whether it must be looked at again.
bool is_waited_for(Walk& walk, const Look& now, base::Millis waited) {
  switch (now.answer) {
    case Answer::half_left:
    case Answer::lost_there:
      drop_half(walk, now.answer);
      return false;
    case Answer::half_ends:
      if (waited < source_ends_within) return true;
      drop_half(walk, now.answer);
      return false;
    case Answer::postcopy_runs:
      if (waited < (walk.ports().cancel.requested() ? patience_once_stopped : postcopy_deadline)) return true;
      throw postcopy_failed(walk, now.seen);
    case Answer::postcopy_failed:
      if (waited >= postcopy_deadline || !walk.request().policy.postcopy) throw postcopy_failed(walk, now.seen);
      mend_postcopy(walk);
      return true;
    default:
      return false;
  }
}

/// Returns once the guest runs again, with the migration held; throws why it does not.
void resume_postcopy(Walk& walk) {
  ports::MoveRequest request = steps::move_request(walk);
  request.resume = true;
  std::shared_ptr<ports::Move> move = walk.source().begin_move(walk.row().vm, request);
  std::string why = "it did not go on in time";
  base::wait_until(walk.ports().clock, resume_deadline, half_asked_each, [&] {
    const ports::MoveProgress now = move->progress();
    if (now.state == ports::MoveProgress::State::failed) why = now.error;
    return now.state != ports::MoveProgress::State::running || has_arrived(walk);
  });
  if (!has_arrived(walk)) throw base::Error(base::Kind::io, why);
  walk.hold(std::move(move), nullptr);
  base::log(base::Level::info, fmt::format("{}: the rest of its memory follows again", walk.row().vm.get()));
}

}  // namespace

void end_old_half(Walk& walk) {
  base::Clock& clock = walk.ports().clock;
  const base::Millis began = clock.steady();
  while (is_waited_for(walk, look(walk), clock.steady() - began)) clock.pause(half_asked_each);
  walk.hold(nullptr, nullptr);
}

void mend_postcopy(Walk& walk) {
  if (!walk.request().policy.postcopy) return;
  const Answer answer = look(walk).answer;
  if (answer == Answer::lost_there) return end_old_half(walk);
  if (answer != Answer::postcopy_failed) return;
  base::Clock& clock = walk.ports().clock;
  const base::Millis began = clock.steady();
  for (;;) {
    try {
      return resume_postcopy(walk);
    } catch (const base::Error& e) {
      // The link that broke it may be back soon.
      if (walk.ports().cancel.requested() || clock.steady() - began >= mended_within)
        throw postcopy_failed(walk, e.what());
    }
    clock.pause(mended_each);
  }
}

}  // namespace umbra::switchover
