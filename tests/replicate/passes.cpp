// SPDX-License-Identifier: Apache-2.0
#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include <algorithm>

#include "fakes/thrown.hpp"
#include "replicate/allowance.hpp"
#include "replicate/scene.hpp"

namespace umbra::replicate {

using base::Kind;

TEST_CASE("passes: full, then what the bitmap tells, and one checkpoint stays") {
  Scene scene;
  scene.write(3, 4, 7);
  const PassResult first = scene.pass();
  CHECK(first.replica.method == "full");
  CHECK(first.replica.point == model::PointNumber{1});
  CHECK(first.replica.sent.value == 4 * block);
  CHECK(first.replica.verified);
  CHECK(first.replica.next_due);
  CHECK(scene.newest_is_disk());

  scene.write(5, 1, 8);
  scene.write(20, 2, 9);
  scene.write(3, 1, 0);  // zeroes
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "bitmap");
  CHECK(second.replica.why.empty());
  CHECK(second.replica.dirty.value == 4 * block);
  CHECK(second.replica.sent.value == 3 * block);
  CHECK(second.replica.zero.value == block);
  CHECK(second.notes.empty());
  CHECK(scene.newest_is_disk());
  CHECK(scene.newest().info.root == second.replica.root);
  CHECK(scene.followed() == std::vector<std::uint64_t>{2});
  CHECK(scene.lab.open_jobs == 0);
}

TEST_CASE("whether the RPO was met is told by the age that the point before had reached") {
  Scene scene;
  scene.request.rpo = base::Seconds(90);
  const PassResult first = scene.pass();
  CHECK_FALSE(first.replica.previous_age_s);
  CHECK_FALSE(first.replica.rpo_met);
  const PassResult in_time = scene.pass();
  CHECK(in_time.replica.previous_age_s == Approx(60));
  CHECK(in_time.replica.rpo_met == true);
  CHECK(in_time.notes.empty());
  scene.lab.clock.advance(base::Seconds(40));
  const PassResult late = scene.pass();
  CHECK(late.replica.previous_age_s == Approx(100));
  CHECK(late.replica.rpo_met == false);
  REQUIRE(late.notes.size() == 1);
  CHECK(late.notes[0] == "the RPO of 1m30s was missed: point 2 was 1m40s old when point 3 became restorable");
  // A damaged point could not have been restored: the one below counts.
  scene.points().at(3).opens = false;
  const PassResult repair = scene.pass();
  CHECK(repair.replica.previous_age_s == Approx(160));
}

TEST_CASE("what the guest writes during a pass is of the next point") {
  Scene scene;
  scene.write(0, 4, 1);
  const auto at_start = scene.lab.disk("alpha", "web1", "vda");
  scene.lab.on_open = [&] { scene.write(2, 1, 9); };
  scene.pass();
  CHECK(scene.newest().parts.at(model::DiskName("vda")) == at_start);
  scene.lab.on_open = {};
  CHECK(scene.pass().replica.dirty.value == block);
  CHECK(scene.newest_is_disk());
}

TEST_CASE("without a usable checkpoint only blocks that differ are sent") {
  Scene scene;
  scene.write(0, 32, 1);
  scene.pass();
  scene.write(4, 1, 2);
  SECTION("the checkpoint is gone") {
    scene.checkpoints().clear();
  }
  SECTION("its bitmap is inconsistent") {
    scene.lab.host("alpha").bitmaps.clear();
  }
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "digest");
  CHECK_FALSE(second.replica.why.empty());
  CHECK(second.replica.dirty.value == 32 * block);
  CHECK(second.replica.sent.value == block);
  CHECK(scene.newest_is_disk());
  CHECK(scene.followed() == std::vector<std::uint64_t>{2});
  CHECK(scene.pass().replica.method == "bitmap");
}

TEST_CASE("disks whose files have changed names are compared") {
  Scene scene({8 * block, 8 * block});
  scene.write(0, 8, 1);
  scene.pass();
  std::swap(scene.domain().disks[0].path, scene.domain().disks[1].path);
  scene.write(2, 1, 2);
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "digest");
  CHECK_THAT(second.replica.why, Catch::Contains("which was disk vd"));
  CHECK(scene.newest_is_disk());
  CHECK(scene.pass().replica.method == "bitmap");
}

TEST_CASE("a checkpoint that a failed pass left behind is deleted, and not used") {
  Scene scene;
  scene.pass();
  scene.checkpoints().emplace_back("umbra-2-00000002");
  scene.checkpoints().emplace_back("nightly");
  CHECK(scene.pass().replica.method == "bitmap");
  CHECK(scene.checkpoints().front() == model::CheckpointName("nightly"));
  CHECK(scene.followed() == std::vector<std::uint64_t>{2});
}

TEST_CASE("a point that another sender made is covered by an older checkpoint") {
  Scene scene;
  scene.write(0, 8, 1);
  scene.pass();
  scene.write(2, 1, 2);
  fakes::MemoryPoint other = scene.newest();  // as a sync makes it: no checkpoint of its own
  other.info.number = {2};
  other.parts[model::DiskName("vda")] = scene.lab.disk("alpha", "web1", "vda");
  other.manifest.parts = {scene.lab.disk("alpha", "web1", "vda").manifest(model::DiskName("vda"))};
  other.info.root = model::root_of(other.manifest);
  scene.points()[2] = other;
  scene.write(5, 1, 3);
  const PassResult third = scene.pass();
  CHECK(third.replica.method == "bitmap");
  CHECK(third.replica.point == model::PointNumber{3});
  CHECK(scene.newest_is_disk());
}

TEST_CASE("disks that were resized or added are compared and sent whole") {
  Scene scene({8 * block});
  scene.write(0, 8, 1);
  scene.pass();
  auto& host = scene.lab.host("alpha");
  SECTION("resized") {
    scene.domain().disks[0].size = {12 * block};
    host.storage.files.at(scene.domain().disks[0].path).resize({12 * block});
    scene.write(10, 1, 2);
  }
  SECTION("resized, and the definition does not tell") {
    scene.domain().disks[0].size = {0};
    fakes::MemoryImage& image = host.storage.files.at(scene.domain().disks[0].path);
    image.resize({12 * block});
    image.fill(10 * block, block, 2);  // a bitmap made for the smaller disk knows nothing of it
  }
  SECTION("added") {
    model::Disk disk = scene.domain().disks[0];
    disk.name = model::DiskName("vdb");
    disk.path = "/images/web1-vdb.qcow2";
    host.storage.files[disk.path] = fakes::MemoryImage({8 * block});
    host.storage.files[disk.path].fill(block, block, 2);
    scene.domain().disks.push_back(disk);
  }
  const PassResult second = scene.pass();
  CHECK(second.replica.sent.value == block);
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a VM that is off is read from its files, raw ones too, without a checkpoint") {
  Scene scene;
  scene.write(1, 3, 4);
  scene.domain().state = model::DomainState::off;
  scene.domain().disks[0].format = "raw";
  CHECK(scene.pass().replica.method == "full");
  scene.write(2, 1, 5);
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "digest");
  CHECK(second.replica.sent.value == block);
  CHECK(scene.newest_is_disk());
  CHECK(scene.checkpoints().empty());
}

TEST_CASE("a running VM on a raw disk is read whole in a backup job, and what differs is sent") {
  Scene scene;
  scene.write(1, 3, 4);
  scene.domain().disks[0].format = "raw";
  CHECK(scene.pass().replica.method == "full");
  scene.write(2, 1, 5);
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "digest");
  CHECK(second.replica.why.find("vda is raw") != std::string::npos);
  CHECK(second.replica.sent.value == block);
  CHECK(scene.newest_is_disk());
  CHECK(scene.checkpoints().empty());
  CHECK(scene.lab.count_of("hv.begin_backup") == 2);
  CHECK(scene.lab.open_jobs == 0);
}

TEST_CASE("of tracked and untracked disks each is read its own way, at one instant") {
  Scene scene;
  fakes::LabHost& host = scene.lab.host("alpha");
  model::Disk raw = scene.domain().disks[0];
  raw.name = model::DiskName("vdb");
  raw.path = "/images/web1-vdb.raw";
  raw.format = "raw";
  raw.size = {8 * block};
  host.storage.files[raw.path] = fakes::MemoryImage({8 * block});
  scene.domain().disks.push_back(raw);
  scene.write(1, 2, 4);
  CHECK(scene.pass().replica.method == "full");
  CHECK(scene.checkpoints().size() == 1);
  scene.write(3, 1, 5);
  host.storage.files[raw.path].fill(6 * block, block, 7);
  const PassResult second = scene.pass();
  CHECK(second.replica.method == "bitmap");
  CHECK(second.replica.why.find("vdb is raw") != std::string::npos);
  CHECK(second.replica.dirty.value == 9 * block);
  CHECK(second.replica.sent.value == 2 * block);
  CHECK(scene.newest_is_disk());
  CHECK(scene.checkpoints().size() == 1);
  // One that is converted has no bitmap yet: the pass does not trust that there is one.
  scene.domain().disks[1].format = "qcow2";
  scene.lab.host("alpha").bitmaps[raw.path].clear();
  host.storage.files[raw.path].fill(7 * block, block, 8);
  CHECK(scene.pass().replica.method == "digest");
  CHECK(scene.newest_is_disk());
}

TEST_CASE("a VM that is started while its files are read gets no point") {
  Scene scene;
  scene.domain().state = model::DomainState::off;
  scene.lab.on_open = [&] { scene.domain().state = model::DomainState::running; };
  CHECK(kind_of([&] { scene.pass(); }) == Kind::busy);
  CHECK(scene.points().empty());
}

TEST_CASE("what can't be replicated is refused before anything is changed") {
  Scene scene;
  const auto refusal = [&] {
    const Kind kind = kind_of([&] { scene.pass(); });
    CHECK(scene.points().empty());
    CHECK(scene.checkpoints().empty());
    CHECK(scene.lab.count_of("hv.begin_backup") == 0);
    return kind;
  };
  SECTION("a shadow") {
    scene.domain().tag.role = model::Role::shadow;
    CHECK(refusal() == Kind::refused);
  }
  SECTION("a hibernated primary") {
    scene.domain().tag.role = model::Role::hibernated;
    CHECK(refusal() == Kind::refused);
  }
  SECTION("one that is leaving") {
    scene.domain().tag.role = model::Role::leaving;
    CHECK(refusal() == Kind::refused);
  }
  SECTION("a VM that is up where its shadow is, too") {
    model::Domain twin = scene.domain();
    twin.tag.role = model::Role::shadow;
    twin.state = GENERATE(model::DomainState::running, model::DomainState::paused);
    scene.lab.host("beta").domains[scene.vm] = twin;
    CHECK(refusal() == Kind::refused);
  }
  SECTION("no such VM") {
    scene.request.vm = model::VmName("web2");
    CHECK(refusal() == Kind::not_found);
  }
  SECTION("no such host") {
    scene.request.primary = model::HostName("omega");
    CHECK(refusal() == Kind::not_found);
  }
  SECTION("no shadow there") {
    scene.request.shadow = model::ShadowId("other");
    CHECK(refusal() == Kind::not_found);
  }
  SECTION("no disk") {
    scene.domain().disks.clear();
    CHECK(refusal() == Kind::unsupported);
  }
  SECTION("another's job") {
    scene.domain().job = true;
    CHECK(refusal() == Kind::busy);
  }
}

TEST_CASE("a backup job that an earlier run left is ended") {
  Scene scene;
  scene.domain().job = true;
  scene.lab.host("alpha").stale_job = true;
  CHECK(scene.pass().replica.point == model::PointNumber{1});
}

TEST_CASE("a block job of somebody else's is told by its disk") {
  Scene scene;
  scene.domain().job = true;
  scene.domain().block_job = model::DiskName("vda");
  const base::Error error = test::error_of([&] { scene.pass(); });
  CHECK(error.kind() == base::Kind::busy);
  CHECK_THAT(error.what(), Catch::Contains("a block job of disk vda of web1"));
  CHECK_THAT(error.hint(), Catch::Contains("blockjob web1 vda"));
}

TEST_CASE("old points are merged, and that this fails is a note and no failure") {
  Scene scene;
  for (unsigned char i = 0; i < 5; ++i) {
    scene.write(i, 1, i);
    scene.pass();
  }
  CHECK(scene.points().size() == 3);
  scene.lab.fail_named("points.retain");
  const PassResult sixth = scene.pass();
  CHECK(sixth.replica.point == model::PointNumber{6});
  CHECK(sixth.notes.size() == 1);
}

TEST_CASE("a plan changes nothing and tells what the pass then does") {
  Scene scene;
  scene.write(0, 4, 1);
  PassPlan plan = plan_pass(scene.lab.context(), scene.request);
  CHECK(plan.method == ports::Method::full);
  CHECK(plan.bytes == model::ByteCount{32 * block});
  CHECK(scene.points().empty());
  CHECK(scene.checkpoints().empty());
  scene.request.last = scene.pass().replica;
  scene.request.last->duration_s = 2;
  plan = plan_pass(scene.lab.context(), scene.request);
  CHECK(plan.method == ports::Method::bitmap);
  CHECK(plan.point == model::PointNumber{2});
  CHECK(plan.bytes == model::ByteCount{0});  // nothing was written since
  scene.write(3, 2, 7);
  plan = plan_pass(scene.lab.context(), scene.request);
  CHECK(plan.bytes == model::ByteCount{2 * block});
  CHECK(plan.duration->count() == Approx(2.0 * 2 * block / double(scene.request.last->sent.value)));
  CHECK_THAT(plan.rate, Catch::Contains("sent, as the last pass went"));
}

TEST_CASE("a plan goes by what was measured, else by the lowest limit, else it says that nothing tells") {
  const model::ByteCount bytes{1000};
  const Limits none;
  const Limits both{model::ByteRate{50}, model::ByteRate{100}, 1};
  const auto full = ports::Method::full;
  const auto took = [&](ports::Method method, const std::optional<Measured>& before, const Limits& limits,
                        const std::optional<model::ByteRate>& link) {
    return expected(bytes, method, before, limits, link).duration->count();
  };
  CHECK(took(full, Measured{full, {500}, 0.02, "its last pass"}, both, {}) == Approx(2));
  CHECK(took(full, {}, both, {}) == Approx(20));
  CHECK(took(full, {}, both, model::ByteRate{10}) == Approx(100));
  CHECK(took(full, {}, none, model::ByteRate{10}) == Approx(100));
  CHECK_FALSE(expected(bytes, full, Measured{full, {0}, 1, "nothing"}, none, {}).duration);
  CHECK_THAT(expected(bytes, full, {}, none, {}).by, Catch::Contains("no such pass from its host was measured"));

  // A limit counts after a measurement too: in bytes sent, of which the last pass tells how many there are.
  const Measured before{full, {500}, 0.5, "its last pass"};
  CHECK(took(full, before, both, {}) == Approx(10));
  CHECK(expected(bytes, full, before, both, {}).by == "50 B/s sent, the limit");
  CHECK(expected(bytes, full, before, none, {}).by == "500 B/s looked at, as its last pass went");
  CHECK(took(full, before, Limits{{}, model::ByteRate{100}, 1}, {}) == Approx(5));
  CHECK(took(full, before, Limits{model::ByteRate{1000}, {}, 1}, {}) == Approx(2));
  // The share of a full pass is none of a digest pass; all that a bitmap tells is sent, as fast as that was.
  CHECK(took(ports::Method::digest, before, both, {}) == Approx(20));
  CHECK(took(ports::Method::digest, before, none, {}) == Approx(2));
  CHECK(took(ports::Method::bitmap, before, none, {}) == Approx(4));
  CHECK(expected(bytes, ports::Method::bitmap, before, none, {}).by == "250 B/s sent, as its last pass went");
  // How fast a few changes went says nothing of a disk that is read whole.
  CHECK_FALSE(expected(bytes, full, Measured{ports::Method::bitmap, {1}, 1, "its last pass"}, none, {}).duration);
}

TEST_CASE("a plan minds the limit though a pass was measured") {
  Scene scene;
  scene.write(0, 8, 1);
  scene.pass();
  scene.write(0, 8, 2);
  scene.request.last = scene.pass().replica;
  REQUIRE(scene.request.last->method == "bitmap");
  scene.request.last->duration_s = 1;
  scene.write(0, 4, 3);
  CHECK(plan_pass(scene.lab.context(), scene.request).duration->count() == Approx(0.5));
  scene.request.link_limit = model::ByteRate{block / 10.0};
  const PassPlan plan = plan_pass(scene.lab.context(), scene.request);
  CHECK(plan.duration->count() == Approx(40));
  CHECK_THAT(plan.rate, Catch::Contains("the limit of its host"));
}

TEST_CASE("incremental passes give the same as full ones, whatever was written and whatever failed in between") {
  CHECK(rc::check([] {
    Scene scene({20 * block + 512, 3 * block});
    const int passes = *rc::gen::inRange(2, 6);
    for (int i = 0; i < passes; ++i) {
      const auto writes = *rc::gen::container<std::vector<std::tuple<bool, std::uint64_t, unsigned char>>>(
          rc::gen::tuple(rc::gen::arbitrary<bool>(), rc::gen::inRange<std::uint64_t>(0, 20 * block),
                         rc::gen::inRange<unsigned char>(0, 4)));
      for (const auto& [second, at, value] : writes)
        scene.lab.write("alpha", "web1", second ? "vdb" : "vda", second ? at % (2 * block) : at, 512, value);
      if (*rc::gen::weightedElement<bool>({{1, true}, {3, false}})) {
        scene.lab.fail_call(*rc::gen::inRange(0u, 40u));
        try {
          scene.pass();
        } catch (const base::Error&) {
        }
        scene.lab.forget_failures();
      }
      scene.pass();
      RC_ASSERT(scene.newest_is_disk());
      RC_ASSERT(scene.checkpoints().size() == 1u);
    }
  }));
}

}  // namespace umbra::replicate
