// SPDX-License-Identifier: Apache-2.0
// redirect: the guest's L2 announcement repeated, the configured redirectors in order, then the health probe. A client
// that is not redirected is a note and the probe's matter, never a reason to stop: the guest runs on the shadow.
#include <fmt/core.h>

#include <algorithm>

#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

/// A walk back takes back what the walk there redirected, last first.
std::vector<ports::Redirector*> in_order(const Walk& walk) {
  auto redirectors = walk.ports().redirectors;
  if (walk.going_back()) std::reverse(redirectors.begin(), redirectors.end());
  return redirectors;
}

Json intend(Walk& walk) {
  Json names = Json::array({"announce"});
  for (const ports::Redirector* redirector : in_order(walk)) names.push_back(redirector->name());
  return {{"redirectors", names}, {"undo", walk.going_back()}};
}

/// What an attempt ended with: nothing where it went well.
template <class Attempt>
std::optional<std::string> problem_of(const Attempt& attempt) {
  try {
    const ports::HookResult result = attempt();
    if (result.ok) return std::nullopt;
    return result.message;
  } catch (const base::Error& e) {
    return e.what();
  }
}

Json act(Walk& walk) {
  std::vector<std::string> notes;
  const auto note = [&](const std::string& who, const std::optional<std::string>& problem) {
    if (problem) notes.push_back(fmt::format("{} failed: {}", who, *problem));
  };
  note("the L2 announcement", problem_of([&] {
         walk.target().announce(walk.row().vm);
         return ports::HookResult{};
       }));
  for (ports::Redirector* redirector : in_order(walk)) {
    note("redirector " + redirector->name(),
         problem_of([&] { return redirector->redirect(walk.request().record, walk.going_back()); }));
  }
  Json result = Json::object();
  if (walk.ports().probe != nullptr) {
    const auto problem = problem_of([&] { return walk.ports().probe->check(walk.request().record); });
    note("the health probe", problem);
    result["healthy"] = !problem;
  }
  result["notes"] = notes;
  return result;
}

/// Whether clients already go the new way can't be asked of every redirector; each bears being called again.
bool happened(Walk& walk) {
  return walk.phase_of("redirect") == ports::StepPhase::done;
}

}  // namespace

Step redirect() {
  return {"redirect", intend, act, happened, {}};
}

}  // namespace umbra::switchover::steps
