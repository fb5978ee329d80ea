// SPDX-License-Identifier: Apache-2.0
#include "sync/sync.hpp"
#include "fakes/thrown.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

#include "fakes/memory_lab.hpp"
#include "fakes/thrown.hpp"
#include "model/activity.hpp"
#include "model/record.hpp"
#include "ports/sync_files.hpp"

namespace umbra::sync {
namespace {

using base::Kind;
constexpr std::uint64_t block = model::block_size;

const std::vector<model::GuestProcess> processes{{1, "init", 3}, {70, "httpd", 410}};

/// A VM on alpha with memory, an agent and a checkpoint of its shadow's point 1 on beta.
struct Scene {
  explicit Scene(bool seeded = true) {
    model::Domain& domain = lab.add_vm("alpha", "web1", {32 * block, 8 * block});
    lab.write("alpha", "web1", "vda", 0, 16 * block, 1);
    alpha().memory[vm].fill(0, 8 * block, 5);
    alpha().activity[vm] = {processes, 12};
    auto& shadow = lab.host("beta").storage.shadows[id];
    shadow.vm = vm;
    for (const model::Disk& disk : domain.disks) shadow.disks.push_back({disk.name, disk.size});
    if (seeded) seed();
    request = {vm, model::HostName("alpha"), model::HostName("beta"), id, "/images", 3, std::nullopt};
  }

  /// Point 1 holds the disks as they are, and umbra-1 follows the writes from now on.
  void seed() {
    fakes::MemoryPoint point;
    point.info.number = {1};
    point.info.taken_at = lab.clock.now();
    for (const model::Disk& disk : domain().disks) {
      const fakes::MemoryImage& image = lab.disk("alpha", "web1", disk.name.get());
      point.info.parts.push_back({disk.name, disk.size});
      point.info.layers.push_back("/images/umbra/x/" + disk.name.get());
      point.manifest.parts.push_back(image.manifest(disk.name));
      point.parts[disk.name] = image;
      alpha().bitmaps[disk.path]["umbra-1-00000001"] = {};
    }
    point.info.root = model::root_of(point.manifest);
    point.info.checkpoint = "umbra-1-00000001";
    points()[1] = point;
    alpha().checkpoints[vm] = {model::CheckpointName("umbra-1-00000001")};
  }

  WarmResult sync() {
    lab.clock.advance(base::Seconds(60));
    return warm(lab.context(), request);
  }
  fakes::LabHost& alpha() { return lab.host("alpha"); }
  model::Domain& domain() { return alpha().domains.at(vm); }
  std::map<std::uint64_t, fakes::MemoryPoint>& points() { return lab.host("beta").storage.shadows.at(id).points; }
  const fakes::MemoryPoint& newest() { return points().rbegin()->second; }
  /// The guest runs on its own disks, and nothing that a sync makes lies about.
  bool clean() {
    for (const auto& [path, image] : alpha().storage.files) {
      if (path.find(".umbra-") != std::string::npos) return false;
    }
    return domain().state == model::DomainState::running &&
           std::ranges::none_of(domain().disks,
                                [](const model::Disk& disk) { return disk.path.find(".umbra-") != std::string::npos; });
  }

  fakes::MemoryLab lab;
  model::VmName vm{"web1"};
  model::ShadowId id{"web1-12345678"};
  WarmRequest request;
};

using test::kind_of;

}  // namespace

TEST_CASE("a sync makes a point of memory and disks of one instant, and leaves no file") {
  Scene scene;
  scene.lab.write("alpha", "web1", "vda", 3 * block, block, 2);
  const auto disk = scene.lab.disk("alpha", "web1", "vda");
  const auto memory = scene.alpha().memory[scene.vm];
  // What the guest does while the frozen files are read belongs to the next point.
  scene.lab.on_open = [&] {
    scene.lab.write("alpha", "web1", "vda", 20 * block, block, 9);
    scene.alpha().memory[scene.vm].fill(0, 1, 99);
  };
  const WarmResult result = scene.sync();
  CHECK(result.state.level == model::ShadowLevel::warm);
  CHECK(result.state.point == model::PointNumber{2});
  CHECK(result.state.memory.value == 8 * block);
  CHECK(result.state.processes == 2u);
  CHECK(result.state.open_files == 12u);
  CHECK(result.state.paused_ms == Approx(12.5));
  CHECK(result.replica.method == "bitmap");
  CHECK(result.replica.root == scene.newest().info.root);
  CHECK(result.replica.sent.value == 9 * block);  // a block of the disk, eight of memory
  CHECK(result.notes.empty());
  CHECK(scene.newest().info.has_memory());
  CHECK(scene.newest().parts.at(model::DiskName("vda")) == disk);
  CHECK(scene.newest().parts.at(model::memory_part) == memory);
  CHECK(model::activity_from(model::Json::parse(scene.newest().activity)).processes == processes);
  CHECK(scene.clean());
  CHECK(scene.lab.disk("alpha", "web1", "vda").read(20 * block, 1).front() == std::byte{9});
}

TEST_CASE("a second sync sends only the memory that differs, and the checkpoint covers the disks still") {
  Scene scene;
  scene.sync();
  scene.alpha().memory[scene.vm].fill(2 * block, 1, 77);
  scene.lab.write("alpha", "web1", "vda", 6 * block, block, 3);
  const WarmResult second = scene.sync();
  CHECK(second.replica.method == "bitmap");
  CHECK(second.state.sent.value == 2 * block);
  CHECK(scene.newest().parts.at(model::memory_part) == scene.alpha().memory[scene.vm]);
  CHECK(scene.newest().parts.at(model::DiskName("vda")) == scene.lab.disk("alpha", "web1", "vda"));
  CHECK(scene.alpha().checkpoints[scene.vm] == std::vector{model::CheckpointName("umbra-1-00000001")});
  CHECK(scene.clean());
}

TEST_CASE("without a checkpoint the disks are compared, without a point all is sent") {
  Scene compared;
  compared.alpha().checkpoints.clear();
  compared.lab.write("alpha", "web1", "vda", 3 * block, block, 2);
  const WarmResult result = compared.sync();
  CHECK(result.replica.method == "digest");
  CHECK(result.state.sent.value == 9 * block);
  Scene first(false);
  CHECK(first.sync().replica.method == "full");
  CHECK(first.newest().parts.at(model::DiskName("vda")) == first.lab.disk("alpha", "web1", "vda"));
  CHECK(first.clean());
}

TEST_CASE("without an agent the guest's activity is not known, and not made up") {
  Scene scene;
  scene.alpha().activity.clear();
  const WarmResult result = scene.sync();
  CHECK_FALSE(result.state.processes);
  CHECK_FALSE(result.state.open_files);
  CHECK(scene.newest().activity.empty());
}

TEST_CASE("what an earlier sync left in use is folded back, and what it left lying is removed") {
  Scene scene;
  SECTION("overlays in use") {
    ports::FreezeRequest freeze;
    for (const auto& disk : scene.domain().disks) freeze.overlays[disk.name] = ports::overlay_path(disk.path);
    freeze.memory_file = ports::memory_path("/images", scene.vm);
    scene.lab.context().hypervisors.at(model::HostName("alpha")).freeze(scene.vm, freeze);
    scene.lab.write("alpha", "web1", "vda", 9 * block, block, 4);
    SECTION("which nobody has begun to fold") {}
    SECTION("whose fold was cut off") {
      scene.domain().job = true;
      scene.domain().block_job = model::DiskName("vda");
    }
  }
  SECTION("files") {
    scene.alpha().storage.files["/images/web1-vda.umbra-sync.qcow2"] = fakes::MemoryImage({block});
    scene.alpha().storage.files["/images/web1.umbra-sync.mem"] = fakes::MemoryImage({block});
  }
  scene.sync();
  CHECK(scene.newest().parts.at(model::DiskName("vda")) == scene.lab.disk("alpha", "web1", "vda"));
  CHECK(scene.clean());
}

TEST_CASE("what can't be synced is refused before the guest is touched") {
  Scene scene;
  Kind expected = Kind::refused;
  SECTION("off") {
    scene.domain().state = model::DomainState::off;
  }
  SECTION("paused") {
    scene.domain().state = model::DomainState::paused;
  }
  SECTION("no primary") {
    scene.domain().tag.role = GENERATE(model::Role::shadow, model::Role::hibernated, model::Role::leaving);
  }
  SECTION("the VM is up where its shadow is, too") {
    model::Domain twin = scene.domain();
    twin.tag.role = model::Role::shadow;
    scene.lab.host("beta").domains[scene.vm] = twin;
  }
  SECTION("no such VM") {
    scene.request.vm = model::VmName("web2");
    expected = Kind::not_found;
  }
  SECTION("no shadow there") {
    scene.request.shadow = model::ShadowId("other");
    expected = Kind::not_found;
  }
  SECTION("no room for the memory") {
    scene.alpha().storage.free = {block};
    expected = Kind::no_space;
  }
  SECTION("another's job") {
    scene.domain().job = true;
    expected = Kind::busy;
  }
  CHECK(kind_of([&] { scene.sync(); }) == expected);
  CHECK(scene.lab.count_of("hv.freeze") == 0);
  CHECK(scene.points().size() == 1);
}

TEST_CASE("a plan changes nothing") {
  Scene scene;
  const WarmPlan plan = plan_warm(scene.lab.context(), scene.request);
  CHECK(plan.point == model::PointNumber{2});
  CHECK(plan.method == "bitmap");
  CHECK(scene.lab.count_of("hv.freeze") == 0);
  CHECK(scene.lab.count_of("points.remove_made") == 0);
}

TEST_CASE("a sync that fails at any call leaves the last point and, at the latest after the next, nothing else") {
  unsigned nth = 0;
  for (;; ++nth) {
    Scene scene;
    scene.lab.write("alpha", "web1", "vda", 3 * block, block, 2);
    scene.lab.fail_call(nth);
    std::string error;
    try {
      scene.sync();
    } catch (const base::Error& e) {
      error = e.what();
    }
    if (!scene.lab.failed()) break;
    scene.lab.forget_failures();
    INFO("call " << nth << ": " << error);
    CHECK(scene.domain().state == model::DomainState::running);
    CHECK(scene.points().contains(1));
    CHECK(scene.lab.host("beta").storage.open_sinks == 0);
    CHECK(scene.clean());
    scene.sync();
    CHECK(scene.newest().parts.at(model::DiskName("vda")) == scene.lab.disk("alpha", "web1", "vda"));
    CHECK(scene.clean());
  }
  CHECK(nth > 20);
}

TEST_CASE("a freeze whose answer was lost costs no overlay in use") {
  Scene scene;
  scene.lab.fail_named("hv.freeze-answer", Kind::unreachable);
  CHECK(kind_of([&] { scene.sync(); }) == Kind::unreachable);
  CHECK(scene.clean());
}

TEST_CASE("a fold that fails leaves the overlays in use, and the next sync folds them") {
  Scene scene;
  scene.lab.fail_named("hv.fold");
  CHECK_THROWS_AS(scene.sync(), base::Error);
  for (const model::Disk& disk : scene.domain().disks) {
    CHECK(disk.path == ports::overlay_path("/images/web1-" + disk.name.get() + ".qcow2"));
    CHECK(scene.alpha().storage.files.contains(disk.path));
  }
  scene.lab.forget_failures();
  scene.sync();
  CHECK(scene.clean());
}

TEST_CASE("a stop while the files are read folds them back") {
  Scene scene;
  scene.lab.on_open = [&] { scene.lab.cancel.request(15); };
  CHECK(kind_of([&] { scene.sync(); }) == Kind::cancelled);
  CHECK(scene.points().size() == 1);
  CHECK(scene.clean());
}

TEST_CASE("paths of what a sync makes are recognisable as Umbra's") {
  CHECK(ports::overlay_path("/images/web1.qcow2") == "/images/web1.umbra-sync.qcow2");
  CHECK(ports::overlay_path("/images/web1.img") == "/images/web1.img.umbra-sync.qcow2");
  CHECK(ports::memory_path("/images", model::VmName("web1")) == "/images/web1.umbra-sync.mem");
}

TEST_CASE("a process is the same where pid, name and start agree") {
  const model::GuestActivity before{{{9, "cron", 5}, {1, "init", 3}, {70, "httpd", 410}}, 0};
  const model::GuestActivity after{{{1, "init", 3}, {70, "httpd", 900}, {9, "crond", 5}}, 0};
  const model::ActivityDiff diff = model::compare_activity(before, after);
  CHECK(diff.kept == 1);
  CHECK(diff.gone == std::vector<model::GuestProcess>{{9, "cron", 5}, {70, "httpd", 410}});
  CHECK(diff.started == std::vector<model::GuestProcess>{{9, "crond", 5}, {70, "httpd", 900}});
  CHECK_FALSE(diff.same());
  CHECK(model::compare_activity(before, before).same());
}

}  // namespace umbra::sync
