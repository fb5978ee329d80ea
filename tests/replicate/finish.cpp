// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

/// The VM frozen on an overlay, as the step before the last delta leaves it.
FinishRequest freeze(Scene& scene) {
  FinishRequest request = finish_request(scene);
  if (!scene.points().empty()) request.parent = scene.newest().info.number;
  for (model::Disk& disk : request.frozen) disk.chain.clear();
  ports::FreezeRequest overlays;
  for (const model::Disk& disk : scene.domain().disks) overlays.overlays[disk.name] = disk.path + ".umbra-e1.qcow2";
  request.taken_at = scene.lab.context().hypervisors.at(scene.alpha).freeze(scene.vm, overlays).taken_at;
  return request;
}

bool newest_is_frozen(Scene& scene, const FinishRequest& request) {
  for (const model::Disk& disk : request.frozen) {
    if (!(scene.newest().parts.at(disk.name) == scene.lab.host("alpha").storage.files.at(disk.path))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("the last delta comes from the frozen file's bitmap, and not from what the guest writes above") {
  Scene scene;
  scene.write(0, 16, 1);
  scene.pass();
  scene.write(4, 2, 2);
  const FinishRequest request = freeze(scene);
  scene.write(9, 3, 3);
  const PassResult result = finish(scene.lab.context(), request);
  CHECK(result.replica.method == "bitmap");
  CHECK(result.replica.dirty.value == 2 * block);
  CHECK(result.replica.point == model::PointNumber{2});
  CHECK(result.replica.verified);
  CHECK(newest_is_frozen(scene, request));
}

TEST_CASE("called again for the same freeze it makes no second point") {
  Scene scene;
  scene.pass();
  const FinishRequest request = freeze(scene);
  const auto first = finish(scene.lab.context(), request);
  scene.lab.clock.advance(base::Seconds(5));
  const auto second = finish(scene.lab.context(), request);
  CHECK(second.replica.point == first.replica.point);
  CHECK(second.replica.root == first.replica.root);
  CHECK(second.replica.sent.value == 0);
  CHECK(scene.points().size() == 2);
}

TEST_CASE("a pass of the same instant is not taken for the last delta") {
  Scene scene;
  scene.pass();
  scene.write(4, 2, 2);
  const FinishRequest request = freeze(scene);  // the clock has not moved since the pass
  CHECK(request.taken_at == scene.newest().info.taken_at);
  CHECK(finish(scene.lab.context(), request).replica.point == model::PointNumber{2});
  CHECK(newest_is_frozen(scene, request));
}

TEST_CASE("without a bitmap the frozen file is compared") {
  Scene scene;
  scene.write(0, 16, 1);
  scene.pass();
  scene.write(4, 2, 2);
  FinishRequest request = freeze(scene);
  SECTION("no checkpoint is known") {
    request.checkpoints.clear();
  }
  SECTION("the file lacks it") {
    scene.lab.host("alpha").bitmaps.clear();
  }
  const PassResult result = finish(scene.lab.context(), request);
  CHECK(result.replica.method == "digest");
  CHECK(result.replica.sent.value == 2 * block);
  CHECK(newest_is_frozen(scene, request));
}

TEST_CASE("a bitmap that a layer put on later does not hold alone is not trusted") {
  Scene scene;
  scene.write(0, 16, 1);
  scene.pass();
  scene.write(4, 2, 2);  // known to the bitmap of the lower file alone
  freeze(scene);         // somebody's layer
  scene.write(8, 1, 3);
  const FinishRequest request = finish_request(scene);
  const PassResult result = finish(scene.lab.context(), request);
  CHECK(result.replica.method == "digest");
  CHECK(newest_is_frozen(scene, request));
}

TEST_CASE("on the way back the delta is what lies above the layer that is the newest point") {
  Scene scene;
  scene.write(0, 16, 1);
  scene.pass();
  // The VM stands on a layer of alpha's own folder, which equals the newest point on beta.
  fakes::MemoryHost& alpha = scene.lab.host("alpha").storage;
  const model::ShadowId own("own");
  fakes::MemoryPoint same = scene.newest();
  const std::string layer = "/images/umbra/own/point-000001/vda.qcow2";
  same.info.layers = {layer};
  alpha.shadows[own].points[1] = same;
  alpha.files[layer] = same.parts.at(model::DiskName("vda"));
  const std::string top = scene.domain().disks[0].path;
  alpha.chains[top] = {top, layer};
  scene.write(4, 2, 2);
  scene.checkpoints().clear();

  FinishRequest request = freeze(scene);
  request.own = own;
  const PassResult result = finish(scene.lab.context(), request);
  CHECK(result.replica.method == "above");
  CHECK(result.replica.dirty.value == 2 * block);
  CHECK(newest_is_frozen(scene, request));
}

TEST_CASE("a far end that reads back something else is told, and which block") {
  Scene scene;
  scene.write(0, 4, 1);
  scene.pass();
  const FinishRequest request = freeze(scene);
  finish(scene.lab.context(), request);
  scene.points().rbegin()->second.parts.at(model::DiskName("vda")).fill(2 * block, 1, 99);
  try {
    finish(scene.lab.context(), request);
    FAIL("nothing was thrown");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::corrupt);
    CHECK(std::string(e.what()).find("byte 131072") != std::string::npos);
  }
}

TEST_CASE("the last delta that fails at any call leaves the last point, and can be done again") {
  unsigned nth = 0;
  for (bool more = true; more; ++nth) {
    Scene scene;
    scene.write(0, 8, 1);
    scene.pass();
    scene.write(4, 2, 2);
    const FinishRequest request = freeze(scene);
    scene.lab.fail_call(nth);
    bool threw = false;
    try {
      finish(scene.lab.context(), request);
    } catch (const base::Error&) {
      threw = true;
    }
    more = scene.lab.failed();
    if (!more) break;
    scene.lab.forget_failures();
    INFO("call " << nth);
    CHECK(scene.points().contains(1));
    CHECK(scene.lab.host("beta").storage.open_sinks == 0);
    CHECK(threw);
    finish(scene.lab.context(), request);
    CHECK(scene.points().size() == 2);
    CHECK(newest_is_frozen(scene, request));
  }
  CHECK(nth > 8);
}

}  // namespace umbra::replicate
