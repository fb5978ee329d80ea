// SPDX-License-Identifier: Apache-2.0
// A VM as one whole stream: all its disks at one instant, and nothing left of it on its host.
#include "replicate/stream_vm.hpp"

#include "fakes/memory_points.hpp"
#include "replicate/scene.hpp"

namespace umbra::replicate {
namespace {

/// Takes the stream as `umbra receive -` does: under the VM's own name.
ports::SentPoint streamed(Scene& scene) {
  fakes::MemoryPoints store(scene.lab.host("beta").storage);
  return stream_vm(scene.lab.context(), scene.request, [&](model::PointHeader header) {
    header.number = {1};
    store.create(header.shadow, header.vm, header.parts);
    return store.begin(header);
  });
}

bool came_whole(Scene& scene) {
  const fakes::MemoryPoint& point = scene.lab.host("beta").storage.shadows.at(model::ShadowId("web1")).points.at(1);
  for (const model::Disk& disk : scene.domain().disks) {
    if (!(point.parts.at(disk.name) == scene.lab.disk("alpha", "web1", disk.name.get()))) return false;
  }
  return point.info.checkpoint.empty();
}

}  // namespace

TEST_CASE("a running VM is streamed whole, and neither a job nor a checkpoint stays") {
  Scene scene({32 * block, 4 * block});
  scene.write(3, 4, 7);
  scene.write(1, 1, 8, "vdb");
  scene.pass();  // one that has a shadow, too
  const auto checkpoints = scene.checkpoints();
  scene.write(9, 1, 5);
  const ports::SentPoint sent = streamed(scene);
  CHECK(sent.counts.data.value == 6 * block);
  CHECK(came_whole(scene));
  CHECK(scene.checkpoints() == checkpoints);
  CHECK(scene.lab.open_jobs == 0);
  scene.pass();  // its own passes go on by what the bitmap tells
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a VM that is off is streamed from its files") {
  Scene scene;
  scene.write(3, 4, 7);
  scene.domain().state = model::DomainState::off;
  CHECK(streamed(scene).counts.data.value == 4 * block);
  CHECK(came_whole(scene));
}

TEST_CASE("what is no primary is not streamed, and a stream that fails leaves no job") {
  Scene scene;
  scene.write(3, 4, 7);
  CHECK(kind_of([&] {
          stream_vm(scene.lab.context(), scene.request,
                    [](const model::PointHeader&) -> std::unique_ptr<ports::BlockSink> {
                      throw base::Error(base::Kind::io, "the pipe is closed");
                    });
        }) == base::Kind::io);
  CHECK(scene.lab.open_jobs == 0);
  scene.domain().tag.role = model::Role::shadow;
  CHECK(kind_of([&] { streamed(scene); }) == base::Kind::refused);
}

}  // namespace umbra::replicate
