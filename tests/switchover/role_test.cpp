// SPDX-License-Identifier: Apache-2.0
// Walks and what takes old copies away, with every role of either domain: what does not fit is refused, and left alone.
#include <catch2/catch.hpp>

#include "fakes/thrown.hpp"
#include "scene.hpp"

using namespace umbra;
using namespace umbra::switchover;
using base::Kind;
using model::Role;

namespace {

constexpr std::array all_roles{Role::none, Role::primary, Role::shadow, Role::hibernated, Role::leaving};

bool is_primary(Role role) {
  return role == Role::none || role == Role::primary;
}
bool is_stand_in(Role role) {
  return role == Role::shadow || role == Role::hibernated;
}

/// Whether it is let through; where it is not, it is a refusal with a hint, and nothing has changed.
bool is_let_through(fakes::SimWorld& world, const std::function<void()>& act) {
  const std::string before = picture(world);
  try {
    act();
    return true;
  } catch (const base::Error& e) {
    INFO(e.what());
    CHECK(e.kind() == Kind::refused);
    CHECK_FALSE(e.hint().empty());
    CHECK(picture(world) == before);
    return false;
  }
}

}  // namespace

TEST_CASE("a walk leads from a primary to a shadow or a hibernated one") {
  for (const Role source : all_roles) {
    for (const Role target : all_roles) {
      CAPTURE(to_string(source), to_string(target));
      fakes::SimWorld world = make_world();
      world.hosts.at(alpha).domains.at(web1).live->tag.role = source;
      world.hosts.at(beta).domains.at(web1).defined->tag.role = target;
      Run run(world);
      const bool through = is_let_through(world, [&] { switch_over(run.ports, request_for(alpha, beta)); });
      CHECK(through == (is_primary(source) && is_stand_in(target)));
      if (through) CHECK(untidy(world) == "");
    }
  }
}

TEST_CASE("a point is activated on a shadow or a hibernated one") {
  for (const Role target : all_roles) {
    CAPTURE(to_string(target));
    fakes::SimWorld world = make_world();
    world.hosts.at(alpha).reachable = false;
    world.hosts.at(beta).domains.at(web1).defined->tag.role = target;
    Run run(world);
    CHECK(is_let_through(world, [&] { from_point(run.ports, request_for(alpha, beta)); }) == is_stand_in(target));
  }
}

TEST_CASE("a hibernated primary is decommissioned, and no other") {
  for (const Role old : all_roles) {
    CAPTURE(to_string(old));
    fakes::SimWorld world = make_world();
    Run run(world);
    switch_over(run.ports, request_for(alpha, beta));
    world.hosts.at(alpha).domains.at(web1).defined->tag.role = old;
    const bool through = is_let_through(world, [&] {
      decommission(run.ports, {web1, alpha, shadow_id, base::Seconds(0), true});
    });
    CHECK(through == (old == Role::hibernated));
  }
}
