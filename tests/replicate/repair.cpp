// SPDX-License-Identifier: Apache-2.0
// Damage on the shadow's host: the next pass builds on what is really there, says so, and sends what differs alone.
#include <catch2/catch.hpp>

#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

const model::DiskName vda("vda");

/// Two points of a disk of 16 blocks of data; a block was written since.
struct Two : Scene {
  Two() {
    write(0, 16, 1);
    pass();
    write(20, 1, 2);
    pass();
    write(5, 1, 3);
  }
  fakes::MemoryPoint& point(std::uint64_t number) { return points().at(number); }
  void damage(std::uint64_t number, std::uint64_t at) { point(number).parts.at(vda).fill(at * block, 1, 99); }
};

}  // namespace

TEST_CASE("a pass over a damaged point is a digest pass that names the place and sends what differs") {
  Two scene;
  scene.damage(2, 9);
  const PassResult result = scene.pass();
  CHECK(result.replica.method == "digest");
  CHECK(result.replica.why == "point 2 is damaged: vda at byte 589824: another digest");
  CHECK(result.replica.sent.value == 2 * block);  // the damaged block, and the one that the guest wrote
  CHECK(result.replica.dirty.value == 32 * block);
  CHECK(result.replica.verified);
  CHECK(scene.newest_is_disk());
  CHECK(result.notes.size() == 1);  // the damaged point is still there
  CHECK(scene.pass().replica.method == "bitmap");
}

TEST_CASE("damage of an older point alone is told, and costs no pass its bitmap") {
  Two scene;
  scene.damage(1, 9);
  const PassResult result = scene.pass();
  CHECK(result.replica.method == "bitmap");
  CHECK(result.replica.sent.value == block);
  REQUIRE(result.notes.size() == 1);
  CHECK(result.notes[0] == "point 1 is damaged: vda at byte 589824: another digest");
  CHECK(scene.newest_is_disk());
}

TEST_CASE("where the newest point opens no more, the one below is built on") {
  Two scene;
  scene.point(2).opens = false;
  const PassResult result = scene.pass();
  CHECK(result.replica.point == model::PointNumber{3});
  CHECK(result.replica.method == "digest");
  CHECK_THAT(result.replica.why, Catch::Contains("point 2 is damaged: vda at byte 0: its file is gone"));
  CHECK(result.replica.sent.value == 2 * block);
  CHECK(scene.newest_is_disk());
  CHECK(scene.point(3).parent == model::PointNumber{1});
}

TEST_CASE("where nothing opens any more, all is sent, and it is said why") {
  Two scene;
  scene.point(1).opens = false;
  scene.point(2).opens = false;
  const PassResult result = scene.pass();
  CHECK(result.replica.method == "full");
  CHECK_THAT(result.replica.why, Catch::Contains("nothing is left to build on") && Catch::Contains("point 2"));
  CHECK(scene.newest_is_disk());
  CHECK(result.level == model::ShadowLevel::seeded);
}

TEST_CASE("points that vanished without a trace are told by the primary's checkpoint") {
  Two scene;
  SECTION("the newest") {
    scene.points().erase(2);
    const PassResult result = scene.pass();
    CHECK(result.replica.method == "digest");
    CHECK_THAT(result.replica.why, Catch::Contains("covers point 1") && Catch::Contains("umbra-2-") &&
                                       Catch::Contains("not on the shadow's host"));
    CHECK(result.replica.sent.value == 2 * block);
  }
  SECTION("all") {
    scene.points().clear();
    const PassResult result = scene.pass();
    CHECK(result.replica.method == "full");
    CHECK_THAT(result.replica.why, Catch::Contains("umbra-2-") && Catch::Contains("gone"));
  }
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a point that reads back as something else fails its pass, and the next one repairs it") {
  Two scene;
  scene.lab.on_call = [&](const std::string& name) {
    if (name == "points.verify" && scene.points().contains(3)) scene.damage(3, 5);
  };
  const base::Error error = test::error_of([&] { scene.pass(); });
  CHECK(error.kind() == base::Kind::corrupt);
  CHECK_THAT(error.message(), Catch::Contains("point 3") && Catch::Contains("vda at byte 327680"));
  CHECK_THAT(error.hint(), Catch::Contains("umbra replicate web1"));
  CHECK_FALSE(scene.newest().info.sound());
  scene.lab.on_call = {};
  const PassResult result = scene.pass();
  CHECK(result.replica.sent.value == block);
  CHECK(result.replica.point == model::PointNumber{4});
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a VM that is off is repaired as well") {
  Two scene;
  scene.damage(2, 9);
  scene.domain().state = model::DomainState::off;
  const PassResult result = scene.pass();
  CHECK_THAT(result.replica.why, Catch::Contains("byte 589824") && Catch::Contains("the VM is off"));
  CHECK(result.replica.sent.value == 2 * block);
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a repairing pass that fails at any call leaves the damage marked, and the next one repairs") {
  for (unsigned nth = 0;; ++nth) {
    Two scene;
    scene.damage(2, 9);
    scene.lab.fail_call(nth);
    try {
      scene.pass();
    } catch (const base::Error&) {
      // Whether it fails, and how, is the call's.
    }
    if (!scene.lab.failed()) {
      CHECK(nth > 12);
      return;
    }
    scene.lab.forget_failures();
    INFO("call " << nth);
    scene.pass();
    CHECK(scene.newest_is_disk());
    CHECK(scene.newest().info.sound());
    CHECK(scene.lab.open_jobs == 0);
  }
}

TEST_CASE("a plan tells what is known of the damage, and looks for none") {
  Two scene;
  scene.damage(2, 9);
  CHECK(plan_pass(scene.lab.context(), scene.request).method == ports::Method::bitmap);
  CHECK(scene.lab.count_of("points.examine") == 2);  // of the two passes
  scene.point(2).info.damaged = "vda at byte 589824: it differs";
  const PassPlan plan = plan_pass(scene.lab.context(), scene.request);
  CHECK(plan.method == ports::Method::digest);
  CHECK_THAT(plan.why, Catch::Contains("point 2 is damaged: vda at byte 589824"));
  CHECK(plan.point == model::PointNumber{3});
}

TEST_CASE("points go by their age too") {
  Two scene;
  scene.request.retain_for = base::Seconds(100);
  scene.request.retain = 9;
  scene.pass();  // a minute after the second, two after the first
  CHECK(scene.points().size() == 2);
  scene.request.retain_for = base::Seconds(1);
  scene.pass();
  CHECK(scene.points().size() == 1);
}

TEST_CASE("the last delta before a switchover repairs too, and its damaged point is not taken for done") {
  Two scene;
  scene.damage(2, 9);
  FinishRequest request = finish_request(scene);
  for (model::Disk& disk : request.frozen) disk.chain.clear();
  request.parent = model::PointNumber{2};
  request.taken_at = scene.lab.clock.now() + std::chrono::seconds(9);
  const PassResult result = finish(scene.lab.context(), request);
  CHECK(result.replica.method == "digest");
  CHECK_THAT(result.replica.why, Catch::Contains("vda at byte 589824"));
  CHECK(result.replica.sent.value == 2 * block);
  CHECK(scene.newest_is_disk());
  scene.damage(3, 7);
  CHECK(test::error_of([&] { finish(scene.lab.context(), request); }).kind() == base::Kind::corrupt);
  const PassResult again = finish(scene.lab.context(), request);
  CHECK(again.replica.point == model::PointNumber{4});
  CHECK(again.replica.sent.value == block);
  CHECK(scene.newest_is_disk());
  CHECK(finish(scene.lab.context(), request).replica.point == model::PointNumber{4});
}

}  // namespace umbra::replicate
