// SPDX-License-Identifier: Apache-2.0
#include "shadow/rehearse.hpp"

#include <catch2/catch.hpp>

#include "model/record.hpp"
#include "shadow/scene.hpp"

namespace umbra::shadow {
namespace {

using base::Kind;

const std::vector<model::GuestProcess> processes{{1, "init", 3}, {70, "httpd", 410}};

/// A shadow with a warm point 2 under a cold point 3.
struct Warm : Scene {
  Warm() {
    id = make().row.id;
    for (const std::uint64_t number : {2u, 3u}) {
      fakes::MemoryPoint point;
      point.info.number = {number};
      point.info.parts = {{model::DiskName("vda"), {32 * block}}};
      point.info.layers = {"/images/umbra/x/vda.qcow2"};
      if (number == 2) {
        point.info.parts.push_back({model::memory_part, {block}});
        point.info.layers.push_back("/images/umbra/x/memory");
        point.activity = model::to_json(model::GuestActivity{processes, 12}).dump();
      }
      folders().at(id).points[number] = point;
    }
    lab.host("beta").activity[vm] = {processes, 12};
    rehearsal = {vm, model::HostName("beta"), id, base::Seconds(5)};
  }
  auto& tops() { return folders().at(id).tops; }
  bool clean() { return tops().empty() && stand_in().state == model::DomainState::off; }

  model::ShadowId id;
  RehearseRequest rehearsal;
};

}  // namespace

TEST_CASE("the newest point with memory is resumed with links down, watched and thrown away") {
  Warm scene;
  const Rehearsal seen = rehearse(scene.lab.context(), scene.rehearsal);
  CHECK(seen.point == model::PointNumber{2});
  CHECK(seen.looks >= 5);
  CHECK(seen.looks_running == seen.looks);
  CHECK(seen.watched_s == Approx(5));
  CHECK(seen.agent_answers == seen.looks);
  CHECK(*seen.uptime_last_s - *seen.uptime_first_s == Approx(5));
  CHECK(seen.processes->same());
  CHECK(seen.processes->kept == 2);
  CHECK(seen.passed());
  CHECK(scene.clean());
  CHECK(scene.lab.host("beta").links_down.contains(scene.vm));
  CHECK(scene.primary().state == model::DomainState::running);
}

TEST_CASE("a point that reads back as something else is not rehearsed") {
  Warm scene;
  fakes::MemoryPoint& point = scene.folders().at(scene.id).points.at(2);
  fakes::MemoryImage disk(model::ByteCount{32 * block});
  point.manifest.parts = {disk.manifest(model::DiskName("vda"))};
  disk.fill(0, 1, 99);
  point.parts.emplace(model::DiskName("vda"), disk);
  CHECK(kind_of([&] { rehearse(scene.lab.context(), scene.rehearsal); }) == Kind::corrupt);
  CHECK(scene.lab.count_of("hv.restore") == 0);
}

TEST_CASE("processes that are gone or new are told") {
  Warm scene;
  scene.lab.host("beta").activity[scene.vm].processes = {{1, "init", 3}, {70, "httpd", 999}};
  const Rehearsal seen = rehearse(scene.lab.context(), scene.rehearsal);
  CHECK(seen.processes->gone == std::vector<model::GuestProcess>{{70, "httpd", 410}});
  CHECK(seen.processes->started == std::vector<model::GuestProcess>{{70, "httpd", 999}});
  CHECK(seen.processes->kept == 1);
}

TEST_CASE("without an agent the domain alone is watched") {
  Warm scene;
  scene.lab.host("beta").activity.clear();
  const Rehearsal seen = rehearse(scene.lab.context(), scene.rehearsal);
  CHECK(seen.agent_answers == 0);
  CHECK_FALSE(seen.processes);
  CHECK_FALSE(seen.uptime_first_s);
  CHECK(seen.passed());
}

TEST_CASE("a stand-in that a killed rehearsal left is ended, what else runs there is not") {
  Warm scene;
  scene.stand_in().state = model::DomainState::running;
  SECTION("the stand-in") {
    for (model::Disk& disk : scene.stand_in().disks) {
      scene.lab.host("beta").defined_on[scene.vm][disk.name] = disk.path;
      disk.path = "/images/umbra/x/top-rehearsal/" + disk.name.get() + ".qcow2";
    }
    scene.tops()["rehearsal"] = {1};
    CHECK(rehearse(scene.lab.context(), scene.rehearsal).passed());
    CHECK(scene.clean());
  }
  SECTION("another") {
    CHECK(kind_of([&] { rehearse(scene.lab.context(), scene.rehearsal); }) == Kind::refused);
    CHECK(scene.stand_in().state == model::DomainState::running);
  }
}

TEST_CASE("a stand-in that stops has not passed") {
  Warm scene;
  scene.lab.on_call = [&](const std::string& call) {
    if (call == "hv.guest_activity" && scene.lab.count_of(call) == 3)
      scene.stand_in().state = model::DomainState::paused;
  };
  const Rehearsal seen = rehearse(scene.lab.context(), scene.rehearsal);
  CHECK_FALSE(seen.passed());
  CHECK(seen.looks == 4);
  CHECK(seen.looks_running == 3);
  CHECK(scene.clean());
}

TEST_CASE("a clock that stands still has not passed") {
  Rehearsal seen;
  seen.looks = seen.looks_running = seen.agent_answers = 3;
  seen.uptime_first_s = seen.uptime_last_s = 100;
  CHECK_FALSE(seen.passed());
  seen.uptime_last_s = 101;
  CHECK(seen.passed());
}

TEST_CASE("a shadow that can't be rehearsed is refused untouched") {
  Warm scene;
  SECTION("no memory") {
    scene.folders().at(scene.id).points.erase(2);
    try {
      rehearse(scene.lab.context(), scene.rehearsal);
      FAIL("nothing was thrown");
    } catch (const base::Error& e) {
      CHECK(e.kind() == Kind::refused);
      CHECK(e.hint() == "umbra sync web1");
    }
  }
  SECTION("active") {
    scene.stand_in().state = model::DomainState::running;
    CHECK(kind_of([&] { rehearse(scene.lab.context(), scene.rehearsal); }) == Kind::refused);
    CHECK(scene.stand_in().state == model::DomainState::running);
  }
  SECTION("no shadow") {
    scene.stand_in().tag.role = GENERATE(model::Role::none, model::Role::primary, model::Role::leaving);
    CHECK(kind_of([&] { rehearse(scene.lab.context(), scene.rehearsal); }) == Kind::refused);
  }
  CHECK(scene.lab.count_of("hv.restore") == 0);
  CHECK(scene.lab.count_of("hv.destroy") == 0);
  CHECK(scene.tops().empty());
}

TEST_CASE("a rehearsal that fails at any call leaves no stand-in and no layer") {
  unsigned nth = 0;
  for (;; ++nth) {
    Warm scene;
    scene.lab.fail_call(nth);
    bool threw = false;
    try {
      rehearse(scene.lab.context(), scene.rehearsal);
    } catch (const base::Error&) {
      threw = true;
    }
    if (!scene.lab.failed()) break;
    INFO("call " << nth);
    CHECK(threw);
    CHECK(scene.clean());
  }
  CHECK(nth > 12);
}

TEST_CASE("a stop during the watch cleans up") {
  Warm scene;
  scene.lab.on_call = [&](const std::string& call) {
    if (call == "hv.guest_activity") scene.lab.cancel.request(2);
  };
  CHECK(kind_of([&] { rehearse(scene.lab.context(), scene.rehearsal); }) == Kind::cancelled);
  CHECK(scene.clean());
}

}  // namespace umbra::shadow
