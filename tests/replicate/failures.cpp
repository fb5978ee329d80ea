// SPDX-License-Identifier: Apache-2.0
// Every call of every port fails once, in every kind of pass.
#include <catch2/catch.hpp>

#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

enum class Pass { full, bitmap, digest, off };

void prepare(Scene& scene, Pass pass) {
  scene.write(0, 16, 1);
  if (pass != Pass::full) scene.pass();
  if (pass == Pass::digest) scene.checkpoints().clear();
  if (pass == Pass::off) scene.domain().state = model::DomainState::off;
  scene.write(3, 2, 2);
  scene.write(9, 1, 0);
}

/// Fails the pass at its nth call; false where it has no so many calls.
bool fails_at(Pass kind, unsigned nth) {
  Scene scene;
  prepare(scene, kind);
  const auto before = scene.points();
  const auto checkpoints = scene.checkpoints();
  scene.lab.fail_call(nth);
  std::optional<base::Error> error;
  try {
    scene.pass();
  } catch (const base::Error& e) {
    error = e;
  }
  if (!scene.lab.failed()) return false;
  scene.lab.forget_failures();

  INFO("call " << nth << ", " << (error ? error->what() : "no error"));
  CHECK(scene.lab.open_jobs == 0);
  CHECK_FALSE(scene.domain().job);
  CHECK(scene.lab.host("beta").storage.open_sinks == 0);
  for (const auto& [number, point] : before) CHECK(scene.points().at(number).info.root == point.info.root);
  if (error && scene.points().size() == before.size()) {
    // No point was made: its checkpoint is gone too, but for the one call that was to delete it.
    for (const auto& name : scene.checkpoints()) CHECK(std::ranges::count(checkpoints, name) == 1);
    if (!before.empty() && error->context().size() > 0)
      CHECK(std::string(error->what()).find("point 1 of 2026-11-24T10:01:00Z stays restorable") != std::string::npos);
  }
  // The next pass makes it whole again.
  scene.pass();
  CHECK(scene.newest_is_disk());
  CHECK(scene.checkpoints().size() == (kind == Pass::off ? checkpoints.size() : 1));
  return true;
}

}  // namespace

TEST_CASE("a pass that fails at any call leaves the last point, no job, no checkpoint, and the next pass succeeds") {
  for (const Pass kind : {Pass::full, Pass::bitmap, Pass::digest, Pass::off}) {
    unsigned calls = 0;
    while (fails_at(kind, calls)) ++calls;
    INFO("kind " << static_cast<int>(kind) << ": " << calls << " calls");
    CHECK(calls >= 12);
  }
}

TEST_CASE("a checkpoint that can't be deleted after a failure is deleted by the next pass") {
  Scene scene;
  scene.pass();
  scene.write(1, 1, 1);
  scene.lab.fail_named("sink.commit");
  CHECK_THROWS_AS(scene.pass(), base::Error);
  CHECK(scene.followed() == std::vector<std::uint64_t>{1});
  scene.lab.fail_named("hv.delete_checkpoint");
  CHECK(scene.pass().notes.size() == 1);  // the point is made, umbra-1 stays for now
  CHECK(scene.checkpoints().size() == 2);
  scene.lab.forget_failures();
  scene.pass();
  CHECK(scene.followed() == std::vector<std::uint64_t>{3});
}

TEST_CASE("a stop ends the pass like a failure") {
  Scene scene;
  scene.write(0, 8, 1);
  scene.lab.on_open = [&] { scene.lab.cancel.request(15); };
  CHECK(kind_of([&] { scene.pass(); }) == base::Kind::cancelled);
  CHECK(scene.points().empty());
  CHECK(scene.checkpoints().empty());
  CHECK(scene.lab.open_jobs == 0);
}

TEST_CASE("a VM is never copied onto its own host") {
  Scene scene;
  scene.request.shadow_host = scene.alpha;
  CHECK(kind_of([&] { scene.pass(); }) == base::Kind::refused);
  CHECK(scene.lab.count_of("hv.begin_backup") == 0);
}

TEST_CASE("a commit whose answer was lost is found by the next pass") {
  Scene scene;
  scene.write(0, 8, 1);
  scene.pass();
  scene.write(2, 1, 2);
  scene.lab.fail_named("sink.commit-answer");
  CHECK_THROWS_AS(scene.pass(), base::Error);
  scene.lab.forget_failures();
  CHECK(scene.points().size() == 2);
  CHECK(scene.followed() == std::vector<std::uint64_t>{1});
  scene.write(6, 1, 3);
  const PassResult third = scene.pass();
  CHECK(third.replica.point == model::PointNumber{3});
  CHECK(third.replica.method == "digest");  // the checkpoint that the point names was deleted
  CHECK(scene.newest_is_disk());
}

}  // namespace umbra::replicate
