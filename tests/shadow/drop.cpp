// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "shadow/scene.hpp"

namespace umbra::shadow {

using base::Kind;
using model::Role;

namespace {

void add_checkpoints(Scene& scene) {
  auto& checkpoints = scene.lab.host("alpha").checkpoints[scene.vm];
  checkpoints.emplace_back("umbra-1-00000001");
  checkpoints.emplace_back("nightly");
  checkpoints.emplace_back("umbra-2-00000002");
}

}  // namespace

TEST_CASE("a dropped shadow leaves no definition, no folder, no row and none of Umbra's checkpoints") {
  Scene scene;
  scene.make();
  add_checkpoints(scene);
  const DropResult dropped = drop(scene.lab.context(), scene.registries, {scene.vm});
  CHECK(dropped.notes.empty());
  CHECK_FALSE(scene.has_stand_in());
  CHECK(scene.folders().empty());
  CHECK(scene.rows.all().empty());
  CHECK(scene.lab.host("alpha").checkpoints[scene.vm] == std::vector{model::CheckpointName("nightly")});
  CHECK(scene.primary().tag == model::RoleTag{Role::none, {}, {3}});
  CHECK(kind_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm}); }) == Kind::not_found);
}

TEST_CASE("a VM that was made anew under the old name is left alone when the old one's shadow is dropped") {
  Scene scene;
  scene.make();
  scene.stand_in().uuid = model::Uuid("ffffffff-0000-4000-8000-000000000000");
  scene.stand_in().state = model::DomainState::running;
  const DropResult dropped = drop(scene.lab.context(), scene.registries, {scene.vm});
  CHECK(dropped.notes.size() == 1);
  CHECK(scene.has_stand_in());
  CHECK(scene.folders().empty());
  CHECK(scene.rows.all().empty());
}

TEST_CASE("a shadow is not dropped under a walk that another store knows, unless that is forgotten") {
  Scene scene;
  scene.make();
  add_checkpoints(scene);
  scene.primary().tag = {Role::leaving, model::HostName("beta"), {4}};
  CHECK(kind_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm}); }) == Kind::refused);
  CHECK(kind_of([&] { check_drop(scene.lab.context(), scene.rows.all().at(0), false); }) == Kind::refused);
  CHECK(scene.primary().tag == model::RoleTag{Role::leaving, model::HostName("beta"), {4}});
  CHECK(scene.lab.host("alpha").checkpoints[scene.vm].size() == 3);
  CHECK(scene.folders().size() == 1);
  drop(scene.lab.context(), scene.registries, {scene.vm, true});
  CHECK(scene.folders().empty());
}

TEST_CASE("what is in use or not a shadow is not dropped") {
  Scene scene;
  scene.make();
  SECTION("active") {
    scene.stand_in().state = model::DomainState::running;
  }
  SECTION("paused") {
    scene.stand_in().state = model::DomainState::paused;
  }
  SECTION("a hibernated primary") {
    scene.stand_in().tag.role = Role::hibernated;
  }
  SECTION("tagged otherwise") {
    scene.stand_in().tag.role = GENERATE(Role::none, Role::primary, Role::leaving);
  }
  CHECK(kind_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm}); }) == Kind::refused);
  CHECK(scene.has_stand_in());
  CHECK(scene.folders().size() == 1);
  CHECK(scene.rows.all().size() == 1);
  CHECK(scene.primary().tag.role == Role::primary);
}

TEST_CASE("a primary that does not answer does not keep its shadow from being dropped") {
  Scene scene;
  scene.make();
  add_checkpoints(scene);
  scene.lab.fail_named("hv.checkpoints", Kind::unreachable);
  CHECK(drop(scene.lab.context(), scene.registries, {scene.vm}).notes.size() == 1);
  CHECK(scene.folders().empty());
}

TEST_CASE("a shadow whose host is gone is forgotten where that is asked for, and the VM can have another") {
  Scene scene;
  scene.make();
  add_checkpoints(scene);
  ports::ShadowRow row = scene.rows.all().at(0);
  row.host = model::HostName("gone");
  scene.rows.put(row);
  const base::Error kept = test::error_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm}); });
  CHECK_THAT(kept.hint(), Catch::EndsWith("where gone is gone for good: umbra shadow web1 --drop --forget"));
  CHECK(scene.rows.all().size() == 1);
  const DropResult dropped = drop(scene.lab.context(), scene.registries, {scene.vm, true});
  CHECK(dropped.notes.size() == 1);
  CHECK(scene.rows.all().empty());
  CHECK(scene.lab.host("alpha").checkpoints[scene.vm] == std::vector{model::CheckpointName("nightly")});
}

TEST_CASE("a VM whose tag tells of what nobody knows any more is released, and keeps its epoch") {
  Scene scene;
  scene.make();
  scene.rows.remove(scene.primary().uuid);
  scene.primary().tag = {GENERATE(Role::leaving, Role::primary), model::HostName("beta"), {3}};
  SECTION("where it is sure to be the one") {
    const DropResult dropped = drop(scene.lab.context(), scene.registries, {scene.vm, true});
    CHECK(dropped.notes.size() == 1);
    CHECK(scene.primary().tag == model::RoleTag{Role::none, {}, {3}});
  }
  SECTION("not where the other is newer, or up") {
    const auto before = scene.primary().tag;
    if (GENERATE(false, true))
      scene.stand_in().tag.epoch = {4};
    else
      scene.stand_in().state = model::DomainState::running;
    CHECK(kind_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm, true}); }) == Kind::refused);
    CHECK(scene.primary().tag == before);
  }
  SECTION("nor unless that is asked for") {
    CHECK(kind_of([&] { drop(scene.lab.context(), scene.registries, {scene.vm}); }) == Kind::not_found);
  }
}

TEST_CASE("a drop that fails at any call can be done again") {
  unsigned nth = 0;
  for (;; ++nth) {
    Scene scene;
    scene.make();
    add_checkpoints(scene);
    scene.lab.fail_call(nth);
    try {
      drop(scene.lab.context(), scene.registries, {scene.vm});
    } catch (const base::Error&) {
      CHECK(scene.rows.all().size() == 1);
    }
    if (!scene.lab.failed()) break;
    scene.lab.forget_failures();
    INFO("call " << nth);
    if (!scene.rows.all().empty()) drop(scene.lab.context(), scene.registries, {scene.vm});
    CHECK_FALSE(scene.has_stand_in());
    CHECK(scene.folders().empty());
    CHECK(scene.rows.all().empty());
  }
  CHECK(nth >= 6);
}

}  // namespace umbra::shadow
