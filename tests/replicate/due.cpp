// SPDX-License-Identifier: Apache-2.0
// A VM that is off gets one pass after its end, and no more until something was written to its images.
#include "replicate/due.hpp"

#include <catch2/catch.hpp>

#include "model/record.hpp"
#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

struct Machine : Scene {
  Machine() {
    write(0, 4, 1);
    keep(pass());
  }
  void keep(const PassResult& result) { request.last = result.replica; }
  void switch_off() { domain().state = model::DomainState::off; }
  DueNow look() {
    const bool is_off = domain().state == model::DomainState::off;
    return due_now(lab.context(), request, is_off ? &domain() : nullptr);
  }
};

}  // namespace

TEST_CASE("a running VM is due by the time that its last pass told") {
  Machine scene;
  CHECK_FALSE(scene.look().due);
  CHECK(scene.look().why_not.empty());
  scene.lab.clock.advance(base::Seconds(300));
  CHECK(scene.look().due);
  scene.request.last.reset();
  CHECK(scene.look().due);
}

TEST_CASE("a VM that went off is due at once, and no more once a point was taken of it") {
  Machine scene;
  scene.write(5, 1, 9);
  scene.switch_off();
  REQUIRE(*scene.request.last->next_due > scene.lab.clock.now());
  CHECK(scene.look().due);
  const PassResult after_end = scene.pass();
  CHECK(scene.newest_is_disk());
  CHECK_FALSE(after_end.replica.next_due);
  CHECK_THAT(after_end.replica.due_reason, Catch::Contains("the VM is off"));
  // The record goes through the store and back.
  scene.request.last = model::replica_from(model::to_json(after_end.replica));
  scene.lab.clock.advance(base::Seconds(100'000));
  const auto reads = scene.lab.count_of("points.begin");
  CHECK_FALSE(scene.look().due);
  CHECK_THAT(scene.look().why_not, Catch::Contains("have not changed since point 2"));
  CHECK(scene.lab.count_of("points.begin") == reads);
  SECTION("it was started and stopped between two looks") {
    scene.write(6, 1, 9);
    CHECK(scene.look().due);
  }
  SECTION("it runs again") {
    scene.domain().state = model::DomainState::running;
    CHECK(scene.look().due);
    // How long it was off is not held against the RPO.
    const PassResult next = scene.pass();
    CHECK_FALSE(next.replica.rpo_met);
    CHECK(next.notes.empty());
    CHECK(next.replica.images_off.empty());
    CHECK(next.replica.next_due);
  }
  SECTION("it has another image now") {
    scene.domain().disks[0].path = "/images/other.qcow2";
    auto& files = scene.lab.host("alpha").storage.files;
    files["/images/other.qcow2"] = fakes::MemoryImage({32 * block});
    CHECK(scene.look().due);
  }
  SECTION("an image is gone: that is an error, not an answer") {
    scene.lab.host("alpha").storage.files.clear();
    CHECK(kind_of([&] { scene.look(); }) == base::Kind::not_found);
  }
}

TEST_CASE("what is written while the files are read makes another pass due") {
  Machine scene;
  scene.switch_off();
  scene.lab.on_open = [&] { scene.write(7, 1, 9); };
  scene.keep(scene.pass());
  scene.lab.on_open = {};
  CHECK(scene.look().due);
}

TEST_CASE("images that their host does not show make no pass due for ever, which is said") {
  Machine scene;
  scene.switch_off();
  scene.lab.host("alpha").storage.hides_files = true;
  CHECK(scene.look().due);
  scene.keep(scene.pass());
  CHECK_FALSE(scene.look().due);
  CHECK_THAT(scene.look().why_not, Catch::Contains("is not known"));
}

TEST_CASE("a VM that is off and on no files is passed by, with the reason") {
  Machine scene;
  scene.switch_off();
  scene.domain().disks[0].path.clear();
  const DueNow now = scene.look();
  CHECK_FALSE(now.due);
  CHECK_THAT(now.why_not, Catch::Contains("vda of web1") && Catch::Contains("is no file"));
}

}  // namespace umbra::replicate
