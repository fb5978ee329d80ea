// SPDX-License-Identifier: Apache-2.0
#include "switchover/processes.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "model/activity.hpp"

namespace umbra::switchover {
namespace {

/// So many of the processes that ended are named.
constexpr std::size_t most_named = 5;

struct Recorded {
  model::PointInfo point;
  model::GuestActivity activity;
};

std::optional<Recorded> newest_recorded(const Ports& ports, const Request& request) {
  const auto store = ports.transport.connect(request.to.host);
  std::vector<model::PointInfo> points = store->points(request.shadow);
  std::ranges::reverse(points);
  for (const model::PointInfo& point : points) {
    if (!point.sound()) continue;
    if (auto activity = model::parse_activity(store->activity(request.shadow, point.number)))
      return Recorded{point, std::move(*activity)};
  }
  return std::nullopt;
}

std::string sentence(const Recorded& before, const model::ActivityDiff& diff) {
  std::string text =
      fmt::format("{} of the {} processes that ran at point {} of {} go on", diff.kept,
                  before.activity.processes.size(), before.point.number.value, base::to_rfc3339(before.point.taken_at));
  const std::size_t named = std::min(diff.gone.size(), most_named);
  for (std::size_t i = 0; i < named; ++i)
    text += fmt::format("{} {} ({})", i == 0 ? "; ended since:" : ",", diff.gone[i].name, diff.gone[i].pid);
  if (named < diff.gone.size()) text += fmt::format(" and {} more", diff.gone.size() - named);
  return text;
}

}  // namespace

std::optional<std::string> compare_processes(const Ports& ports, const Request& request) {
  try {
    const auto before = newest_recorded(ports, request);
    if (!before) return std::nullopt;
    const auto after = ports.hypervisors.at(request.to.host).guest_activity(request.vm);
    if (!after) return std::nullopt;
    return sentence(*before, model::compare_activity(before->activity, *after));
  } catch (const base::Error& e) {
    return fmt::format("whether the guest's processes go on was not seen: {}", e.what());
  }
}

}  // namespace umbra::switchover
