// SPDX-License-Identifier: Apache-2.0
// redirect: the guest's L2 announcement repeated, the configured redirectors in order, then the health probe. A client
// that is not redirected is a note and the probe's matter, never a reason to stop: the guest runs on the shadow.
#include <fmt/core.h>

#include <algorithm>
#include <future>

#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

using ports::Failure;
using ports::HookResult;

/// Between two attempts of a redirector.
constexpr base::Millis before_next_attempt{500};
/// From the end of the redirectors on.
constexpr base::Millis announcement_deadline{3'000};

/// What the walk before this one wrote: the newest that ended where the VM is now.
std::optional<Facts> walk_before(const Ports& ports, const model::Uuid& vm, std::optional<std::int64_t> own) {
  for (const ports::Walk& earlier : ports.journal.walks(vm)) {
    if (earlier.id == own || earlier.state != "done") continue;
    Facts facts;
    for (const ports::JournalEntry& entry : ports.journal.entries(earlier.id)) facts.learn(entry);
    return facts;
  }
  return std::nullopt;
}

Calls calls_of(Walk& walk) {
  return steps::calls_of(walk.ports(), walk.row().uuid, walk.going_back(), walk.row().id);
}

Json intend(Walk& walk) {
  const Calls calls = calls_of(walk);
  Json names = Json::array();
  for (const ports::Redirector* redirector : calls.redirectors) names.push_back(redirector->name());
  return {{"redirectors", names}, {"undo", calls.undo}};
}

/// Whatever goes wrong in it is a result.
template <class Attempt>
HookResult result_of(const Attempt& attempt) {
  try {
    return base::as_error(attempt);
  } catch (const base::Error& e) {
    return {false, e.what()};
  }
}

/// Calls it until it succeeds, for as many attempts as it has; what was seen last, and whether any may have changed
/// something.
HookResult call(Walk& walk, ports::Redirector& redirector, bool undo) {
  const ports::Redirection redirection{walk.request().record, walk.row().from, walk.row().to, undo};
  bool unsure = false;
  for (unsigned attempt = 1;; ++attempt) {
    HookResult result = result_of([&] { return redirector.redirect(redirection); });
    if (result.ok) return result;
    unsure = unsure || result.failure == Failure::unsure;
    const bool last = attempt > redirector.retries() || result.failure == Failure::hopeless;
    if (last || walk.ports().cancel.requested()) {
      if (attempt > 1) result.message += fmt::format(" ({} attempts)", attempt);
      if (unsure) result.failure = Failure::unsure;
      return result;
    }
    walk.ports().clock.pause(before_next_attempt);
  }
}

std::future<void> begin_announcement(Walk& walk) {
  try {
    return walk.target().announce(walk.row().vm);
  } catch (const base::Error&) {
    std::promise<void> none;
    none.set_exception(std::current_exception());
    return none.get_future();
  }
}

/// How the announcement went that was begun before the redirectors were called.
HookResult end_of(std::future<void>& announcement) {
  if (announcement.wait_for(announcement_deadline) != std::future_status::ready)
    return {false, fmt::format("no answer in {}", base::to_human(base::Seconds(announcement_deadline)))};
  return result_of([&] {
    announcement.get();
    return HookResult{};
  });
}

Json act(Walk& walk) {
  Json result = Json::object();
  std::vector<std::string> notes;
  const auto note = [&](const std::string& who, const HookResult& seen) {
    if (!seen.ok) notes.push_back(fmt::format("{} failed: {}", who, seen.message));
  };
  // Beside the redirectors: QEMU has announced the guest once by itself, and a host that is silent holds nobody.
  std::future<void> announcement = begin_announcement(walk);
  const Calls calls = calls_of(walk);
  std::vector<std::string> redirected;
  for (ports::Redirector* redirector : calls.redirectors) {
    const HookResult seen = call(walk, *redirector, calls.undo);
    note((calls.undo ? "undoing redirector " : "redirector ") + redirector->name(), seen);
    if (seen.ok || seen.failure == Failure::unsure) redirected.push_back(redirector->name());
  }
  for (const std::string& name : calls.gone)
    notes.push_back(
        fmt::format("redirector {} was called by the walk there and is no longer configured: undo it by hand", name));
  for (const std::string& name : walk.facts().redirected) {  // by the intent of a run that was cut off
    if (std::ranges::count(calls.gone, name) > 0) continue;
    if (std::ranges::none_of(calls.redirectors, [&](const ports::Redirector* r) { return r->name() == name; }))
      notes.push_back(
          fmt::format("redirector {} may have been called before the interruption and is no longer configured: "
                      "see where it points",
                      name));
  }
  note("the L2 announcement", end_of(announcement));
  if (walk.ports().probe != nullptr) {
    const HookResult seen = result_of([&] { return walk.ports().probe->check(walk.request().record); });
    note("the health probe", seen);
    result["healthy"] = seen.ok;
  }
  result["redirected"] = redirected;
  result["notes"] = notes;
  return result;
}

/// Whether clients already go the new way can't be asked of every redirector; each bears being called again.
bool happened(Walk& walk) {
  return walk.phase_of("redirect") == ports::StepPhase::done;
}

}  // namespace

Calls calls_of(const Ports& ports, const model::Uuid& vm, bool going_back, std::optional<std::int64_t> own) {
  Calls calls{ports.redirectors, false, {}};
  if (!going_back) return calls;
  const auto before = walk_before(ports, vm, own);
  if (!before || before->undoing) return calls;
  calls.undo = true;
  std::reverse(calls.redirectors.begin(), calls.redirectors.end());
  std::erase_if(calls.redirectors, [&](const ports::Redirector* r) { return !before->redirected.contains(r->name()); });
  for (const std::string& name : before->redirected) {
    if (std::ranges::none_of(ports.redirectors, [&](const ports::Redirector* r) { return r->name() == name; }))
      calls.gone.push_back(name);
  }
  return calls;
}

Step redirect() {
  return {"redirect", intend, act, happened, {}};
}

}  // namespace umbra::switchover::steps
