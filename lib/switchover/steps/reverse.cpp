// SPDX-License-Identifier: Apache-2.0
// reverse: the old primary becomes the shadow of the new one, at the point that both share: its frozen files are that
// point's layers where they lie. What the target's top layer holds is then the whole delta.
#include <fmt/core.h>

#include <algorithm>

#include "switchover/steps/steps.hpp"

namespace umbra::switchover::steps {
namespace {

Json intend(Walk& walk) {
  return {{"point", walk.facts().point.value}};
}

/// The adopted point on the old home; nothing where it is not there yet. Only the newest can be it.
std::optional<model::PointNumber> adopted(Walk& walk, ports::PointStore& old_home) {
  const auto points = old_home.points(walk.request().shadow);
  if (points.empty() || points.back().root != walk.facts().root || points.back().taken_at != walk.facts().taken_at) {
    return std::nullopt;
  }
  return points.back().number;
}

/// The number is the shared point's, where the old home has no newer ones from a time before: the hosts' counts may
/// have parted when one of them had its shadow made anew. What the two have in common is the root.
model::PointNumber adopt_frozen(Walk& walk, ports::PointStore& old_home) {
  if (const auto number = adopted(walk, old_home)) return *number;
  const Facts& facts = walk.facts();
  const model::ShadowId& shadow = walk.request().shadow;
  model::PointNumber number = facts.point;
  if (const auto points = old_home.points(shadow); !points.empty())
    number = std::max(number, points.back().number.next());
  const auto new_home = far_end(walk);
  old_home.adopt(
      {shadow, walk.row().vm, number, facts.taken_at, facts.frozen, new_home->manifest(shadow, facts.point)});
  return number;
}

void remove_overlays(Walk& walk, ports::PointStore& old_home) {
  for (const auto& [disk, overlay] : walk.facts().overlays) old_home.remove_made(overlay);
}

/// Nothing names the overlays since the old primary was retired. They stay until the point is there, should the target
/// be lost: but for the room that they take, where there is no other.
model::PointNumber adopt_in_any_room(Walk& walk, ports::PointStore& old_home) {
  try {
    return adopt_frozen(walk, old_home);
  } catch (const base::Error& e) {
    if (e.kind() != base::Kind::no_space) throw;
  }
  remove_overlays(walk, old_home);
  return adopt_frozen(walk, old_home);
}

/// The target's definition got its tag from the migration; one that lost it since gets it again.
void tag_target(Walk& walk) {
  if (walk.is_dead(walk.row().to)) return;
  const model::RoleTag tag{model::Role::primary, walk.row().from, walk.row().epoch};
  const auto domain = walk.target().find(walk.row().vm);
  if (domain && domain->tag != tag) walk.target().set_tag(walk.row().vm, tag);
}

void turn_registry_round(Walk& walk, model::PointNumber point) {
  const Facts& facts = walk.facts();
  const auto before = walk.ports().registry.find(walk.row().vm);
  ports::ShadowRow row;
  row.vm_uuid = walk.row().uuid;
  row.vm = walk.row().vm;
  row.id = walk.request().shadow;
  row.primary_host = walk.row().to;
  row.host = walk.row().from;
  row.level = model::ShadowLevel::seeded;
  row.from_pool = before && before->from_pool;
  model::Replica replica;
  replica.point = point;
  replica.root = facts.root;
  replica.taken_at = facts.taken_at;
  replica.verified = true;  // what was sent from these very files was compared at the far end
  replica.method = "frozen";
  row.replica = replica;
  walk.ports().registry.put(row);
}

/// Old points beyond what the policy keeps. Their merging can wait for the next pass, so a failure is a note.
std::vector<std::string> merge_old_points(Walk& walk, ports::PointStore& old_home) {
  try {
    // At least two: merging down to one would move the newest, which the hibernated definition names, into another
    // file.
    ports::thin_out(old_home, walk.request().shadow, std::max(2u, walk.request().policy.retain));
    return {};
  } catch (const base::Error& e) {
    return {fmt::format("old points on {} were not merged: {}", walk.row().from.get(), e.what())};
  }
}

Json act(Walk& walk) {
  const auto old_home = walk.ports().transport.connect(walk.row().from);
  const model::PointNumber point = adopt_in_any_room(walk, *old_home);
  remove_overlays(walk, *old_home);
  tag_target(walk);
  turn_registry_round(walk, point);
  return {{"point", point.value}, {"notes", merge_old_points(walk, *old_home)}};
}

bool happened(Walk& walk) {
  const auto row = walk.ports().registry.find(walk.row().vm);
  return row && row->host == walk.row().from && adopted(walk, *walk.ports().transport.connect(walk.row().from));
}

}  // namespace

bool is_reversed(Walk& walk) {
  return adopted(walk, *walk.ports().transport.connect(walk.row().from)).has_value();
}

Step reverse() {
  return {"reverse", intend, act, happened, {}};
}

}  // namespace umbra::switchover::steps
