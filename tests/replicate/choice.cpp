// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <catch2/catch.hpp>

#include "ports/delta.hpp"

namespace umbra::ports {
namespace {

using model::CheckpointName;
using model::DiskName;

model::PointInfo point(std::uint64_t number, std::vector<model::Part> parts) {
  model::PointInfo info;
  info.number = {number};
  info.root = base::sha256(std::as_bytes(std::span(&number, 1)));
  info.checkpoint = fmt::format("umbra-{0}-{0:08x}", number);
  info.parts = std::move(parts);
  for (const auto& part : info.parts)
    info.layers.push_back("/images/umbra/x/point-" + std::to_string(number) + "/" + part.name.get());
  return info;
}

model::Disk disk(const std::string& name, std::uint64_t size) {
  model::Disk d;
  d.name = DiskName(name);
  d.path = "/images/" + name + ".qcow2";
  d.size = {size};
  return d;
}

const model::Part vda{DiskName("vda"), {1 << 20}};
const model::Part vdb{DiskName("vdb"), {1 << 20}};
const model::Part memory{model::memory_part, {4 << 20}};

std::vector<CheckpointName> names(std::initializer_list<const char*> texts) {
  return {texts.begin(), texts.end()};
}

}  // namespace

TEST_CASE("a shadow without a point gets a full pass, whatever checkpoints there are") {
  const Choice choice = choose_method({}, names({"umbra-4-00000004"}), {disk("vda", 1 << 20)});
  CHECK(choice.method == Method::full);
  CHECK_FALSE(choice.since);
}

TEST_CASE("the newest point's own checkpoint makes it a bitmap pass") {
  const Choice choice = choose_method(model::ground_of({point(6, {vda}), point(7, {vda})}), names({"umbra-7-00000007"}),
                                      {disk("vda", 1 << 20)});
  CHECK(choice.method == Method::bitmap);
  CHECK(choice.since == CheckpointName("umbra-7-00000007"));
  CHECK(choice.why.empty());
}

TEST_CASE("only the checkpoint that the newest point names will do, whatever the numbers") {
  std::vector points{point(7, {vda})};
  const std::vector disks{disk("vda", 1 << 20)};
  points.back().checkpoint = "umbra-5-00000005";  // made with an older point: it covers this one too
  CHECK(choose_method(model::ground_of(points), names({"umbra-7-0000000a", "umbra-5-00000005"}), disks).since ==
        CheckpointName("umbra-5-00000005"));
  // Of the same number, but made with the point of another shadow.
  const Choice another =
      choose_method(model::ground_of(points), names({"umbra-5-00000006", "umbra-7-00000005"}), disks);
  CHECK(another.method == Method::digest);
  CHECK(another.why.find("point 7") != std::string::npos);
  points.back().checkpoint.clear();
  CHECK(choose_method(model::ground_of(points), names({"umbra-7-00000007"}), disks).method == Method::digest);
}

TEST_CASE("checkpoints of others are none of Umbra's") {
  for (const char* name : {"backup-7", "umbra-", "umbra-x7", "umbra-7", "umbra-7x", "umbra-07-00000007",
                           "umbra--7-00000007", "umbra-7-0000000", "umbra-7-0000000g", "umbra-7-000000070"}) {
    INFO(name);
    CHECK_FALSE(point_of(CheckpointName(name)));
  }
  CHECK(point_of(fresh_checkpoint({42})) == model::PointNumber{42});
  CHECK(fresh_checkpoint({42}) != fresh_checkpoint({42}));
}

TEST_CASE("disks that were added, removed or resized make it a digest pass that says so") {
  const std::vector points{point(7, {vda, vdb})};
  const auto checkpoints = names({"umbra-7-00000007"});
  const auto why = [&](const std::vector<model::Disk>& disks) {
    const Choice choice = choose_method(model::ground_of(points), checkpoints, disks);
    CHECK(choice.method == Method::digest);
    return choice.why;
  };
  CHECK(why({disk("vda", 1 << 20), disk("vdb", 2 << 20)}).find("vdb was resized") != std::string::npos);
  CHECK(why({disk("vda", 1 << 20)}).find("vdb was removed") != std::string::npos);
  CHECK(why({disk("vda", 1 << 20), disk("vdb", 1 << 20), disk("vdc", 9)}).find("vdc was added") != std::string::npos);
  CHECK(choose_method(model::ground_of(points), checkpoints, {disk("vda", 0), disk("vdb", 1 << 20)}).method ==
        Method::bitmap);
}

TEST_CASE("the memory of a synced point is no disk that was removed") {
  CHECK(choose_method(model::ground_of({point(7, {vda, memory})}), names({"umbra-7-00000007"}), {disk("vda", 1 << 20)})
            .method == Method::bitmap);
}

TEST_CASE("frozen files: the exact bitmap first, then the layer below, then an older bitmap, then digests") {
  FrozenPoint frozen;
  frozen.disks = {disk("vda", 1 << 20)};
  std::vector points{point(7, {vda})};
  points.back().checkpoint = "umbra-6-00000006";
  CHECK(choose_frozen({}, frozen).method == Method::full);
  CHECK(choose_frozen(model::ground_of(points), frozen).method == Method::digest);
  frozen.checkpoints = names({"umbra-6-00000006"});
  CHECK(choose_frozen(model::ground_of(points), frozen).method == Method::bitmap);
  frozen.stands_on[DiskName("vda")] = "/images/umbra/x/point-7/vda";
  CHECK(choose_frozen(model::ground_of(points), frozen).method == Method::above);
  points.back().checkpoint = "umbra-7-00000007";
  frozen.checkpoints = names({"umbra-6-00000006", "umbra-7-00000007"});
  CHECK(choose_frozen(model::ground_of(points), frozen).since == CheckpointName("umbra-7-00000007"));
}

TEST_CASE("a layer below counts only where every disk stands on it and its root is the newest point's") {
  model::Disk a = disk("vda", 1 << 20);
  model::Disk b = disk("vdb", 1 << 20);
  const model::PointInfo newest = point(7, {vda, vdb});
  a.chain = {"/images/umbra/x/point-7/vda", "/images/base"};
  CHECK(layers_below({point(6, {vda, vdb}), newest}, newest, {a, b}).empty());
  b.chain = {"/images/umbra/x/point-7/vdb"};
  CHECK(layers_below({point(6, {vda, vdb}), newest}, newest, {a, b}).size() == 2);
  CHECK(layers_below({point(6, {vda, vdb})}, newest, {a, b}).empty());
}

}  // namespace umbra::ports
