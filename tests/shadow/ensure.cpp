// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "shadow/scene.hpp"

namespace umbra::shadow {

using base::Kind;
using model::Role;

TEST_CASE("a shadow is defined off on empty layers, with role, peer and epoch at both ends") {
  Scene scene;
  const EnsureResult made = scene.make();
  CHECK(made.created);
  CHECK(made.row.level == model::ShadowLevel::defined);
  CHECK(made.row.id == shadow_id(scene.vm, scene.primary().uuid));
  CHECK(scene.stand_in().state == model::DomainState::off);
  CHECK(scene.stand_in().tag == model::RoleTag{Role::shadow, model::HostName("alpha"), {3}});
  CHECK(scene.primary().tag == model::RoleTag{Role::primary, model::HostName("beta"), {3}});
  CHECK(scene.stand_in().disks[0].path == "/images/umbra/" + made.row.id.get() + "/empty/vda.qcow2");
  CHECK(scene.folders().at(made.row.id).disks.size() == 2);
  CHECK(scene.rows.find(scene.vm)->host == model::HostName("beta"));
}

TEST_CASE("again, it is found and nothing is made") {
  Scene scene;
  const EnsureResult first = scene.make();
  const EnsureResult second = scene.make();
  CHECK_FALSE(second.created);
  CHECK(second.row.id == first.row.id);
  CHECK(scene.lab.host("beta").definitions == 1);
  CHECK(scene.lab.count_of("hv.set_tag") == 1);
  SECTION("also where the state store was lost") {
    scene.rows.remove(scene.primary().uuid);
    CHECK(scene.make().row.id == first.row.id);
    CHECK(scene.lab.host("beta").definitions == 1);
  }
}

TEST_CASE("its level follows its newest point, and what is recorded of it stays") {
  Scene scene;
  ports::ShadowRow row = scene.make().row;
  row.replica = model::Replica{};
  scene.rows.put(row);
  auto& points = scene.folders().at(row.id).points;
  points[1].info.number = {1};
  CHECK(scene.make().row.level == model::ShadowLevel::seeded);
  points[1].info.parts = {{model::memory_part, {block}}};
  points[1].info.layers = {"/images/umbra/x/point-000001/memory"};
  const EnsureResult warm = scene.make();
  CHECK(warm.row.level == model::ShadowLevel::warm);
  CHECK(warm.row.replica);
}

TEST_CASE("a VM that was made anew under its old name does not go on in the old one's shadow") {
  Scene scene;
  scene.make();
  scene.primary().uuid = model::Uuid("ffffffff-0000-4000-8000-000000000000");
  scene.lab.host("beta").domains.erase(scene.vm);
  CHECK(kind_of([&] { scene.make(); }) == Kind::refused);
  drop(scene.lab.context(), scene.registries, {scene.vm});
  CHECK(scene.make().row.vm_uuid == scene.primary().uuid);
  CHECK(scene.rows.all().size() == 1);
}

TEST_CASE("what can't be a shadow is refused, and nothing is made") {
  Scene scene;
  Kind expected = Kind::refused;
  SECTION("the primary's own host") {
    scene.request.target = scene.request.primary;
  }
  SECTION("another VM of that name there") {
    scene.lab.add_vm("beta", "web1", {block}).uuid = model::Uuid("ffffffff-0000-4000-8000-000000000000");
    scene.stand_in().state = model::DomainState::off;
    scene.stand_in().tag.role = Role::shadow;
  }
  SECTION("the VM is active there") {
    scene.lab.add_vm("beta", "web1", {block}).tag.role = Role::shadow;
  }
  SECTION("the VM is defined there, but not by Umbra") {
    scene.lab.add_vm("beta", "web1", {block}).state = model::DomainState::off;
  }
  SECTION("the primary is none") {
    scene.primary().tag.role = GENERATE(Role::shadow, Role::hibernated, Role::leaving);
  }
  SECTION("no such VM") {
    scene.request.vm = model::VmName("web2");
    expected = Kind::not_found;
  }
  SECTION("no disk") {
    scene.primary().disks.clear();
    expected = Kind::unsupported;
  }
  SECTION("a disk of unknown size") {
    scene.primary().disks[1].size = {0};
    expected = Kind::unsupported;
  }
  SECTION("a transient VM") {
    scene.primary().persistent = false;
    expected = Kind::unsupported;
  }
  const model::RoleTag tag = scene.primary().tag;
  CHECK(kind_of([&] { scene.make(); }) == expected);
  CHECK(kind_of([&] { plan(scene.lab.context(), scene.registries, scene.request); }) == expected);
  CHECK(scene.lab.host("beta").definitions == 0);
  CHECK(scene.folders().empty());
  CHECK(scene.rows.all().empty());
  CHECK(scene.primary().tag == tag);
}

TEST_CASE("a plan changes nothing") {
  Scene scene;
  const EnsurePlan before = plan(scene.lab.context(), scene.registries, scene.request);
  CHECK_FALSE(before.exists);
  CHECK(before.disks.size() == 2);
  CHECK_FALSE(scene.has_stand_in());
  CHECK(scene.folders().empty());
  scene.make();
  CHECK(plan(scene.lab.context(), scene.registries, scene.request).exists);
}

TEST_CASE("a shadow from the pool takes its folder and is taken from the pool once") {
  Scene scene;
  const ports::PoolRow row{model::ShadowId("pool-7"), "small", model::HostName("beta")};
  scene.pool.put(row);
  scene.folders()[row.id] = {};
  scene.request.pooled = row;
  CHECK(plan(scene.lab.context(), scene.registries, scene.request).from_pool == row.id);
  const EnsureResult made = scene.make();
  CHECK(made.row.from_pool);
  CHECK(scene.pool.all().empty());
  CHECK(scene.folders().size() == 1);
  CHECK(scene.folders().contains(made.row.id));
  CHECK(scene.make().row.from_pool);
}

TEST_CASE("a pooled shadow that another run took first is made anew") {
  Scene scene;
  scene.request.pooled = ports::PoolRow{model::ShadowId("pool-7"), "small", model::HostName("beta")};
  const EnsureResult made = scene.make();
  CHECK(made.created);
  CHECK_FALSE(made.row.from_pool);
}

TEST_CASE("a shadow on another host stays there, with a note") {
  Scene scene;
  const EnsureResult first = scene.make();
  scene.lab.add_host("gamma");
  scene.request.target = model::HostName("gamma");
  const EnsureResult second = scene.make();
  CHECK(second.row.host == model::HostName("beta"));
  CHECK(second.row.id == first.row.id);
  CHECK(second.notes.size() == 1);
  CHECK(scene.lab.host("gamma").definitions == 0);
  SECTION("unless it is there no more") {
    scene.lab.host("beta").domains.erase(scene.vm);
    CHECK(scene.make().row.host == model::HostName("gamma"));
    CHECK(scene.lab.host("gamma").definitions == 1);
  }
}

TEST_CASE("a hibernated primary is the shadow as it lies") {
  Scene scene;
  model::Domain& old = scene.lab.add_vm("beta", "web1", {32 * block, 8 * block});
  old.state = model::DomainState::off;
  old.tag = {Role::hibernated, model::HostName("alpha"), {3}};
  const EnsureResult found = scene.make();
  CHECK_FALSE(found.created);
  CHECK(scene.stand_in().tag.role == Role::hibernated);
  CHECK(scene.stand_in().disks[0].path == "/images/web1-vda.qcow2");
}

TEST_CASE("an ensure that fails at any call takes back what it made") {
  for (const bool pooled : {false, true}) {
    unsigned nth = 0;
    for (;; ++nth) {
      Scene scene;
      const ports::PoolRow row{model::ShadowId("pool-7"), "small", model::HostName("beta")};
      if (pooled) {
        scene.pool.put(row);
        scene.folders()[row.id] = {};
        scene.request.pooled = row;
      }
      const model::RoleTag tag = scene.primary().tag;
      scene.lab.fail_call(nth);
      bool threw = false;
      try {
        scene.make();
      } catch (const base::Error&) {
        threw = true;
      }
      if (!scene.lab.failed()) break;
      scene.lab.forget_failures();
      INFO("call " << nth << (pooled ? ", pooled" : ""));
      CHECK(threw);
      CHECK_FALSE(scene.has_stand_in());
      CHECK(scene.rows.all().empty());
      CHECK(scene.primary().tag == tag);
      // What is left is nothing, or the pool's untouched row and folder.
      CHECK(scene.folders().size() == scene.pool.all().size());
      CHECK(scene.make().row.host == model::HostName("beta"));
    }
    CHECK(nth >= 7);
  }
}

TEST_CASE("a state store that can't be written takes the shadow back") {
  Scene scene;
  scene.rows.fail_put = true;
  CHECK_THROWS_AS(scene.make(), base::Error);
  CHECK_FALSE(scene.has_stand_in());
  CHECK(scene.folders().empty());
  CHECK(scene.primary().tag.role == Role::none);
}

TEST_CASE("ids name the VM, and differ where names or VMs differ") {
  CHECK(shadow_id(model::VmName("web 1/x"), model::Uuid("0123456789ab")) == model::ShadowId("web_1_x-01234567"));
  const model::VmName vm("a");
  CHECK(shadow_id(vm, model::Uuid("11111111-")) != shadow_id(vm, model::Uuid("22222222-")));
}

}  // namespace umbra::shadow
