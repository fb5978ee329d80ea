// SPDX-License-Identifier: Apache-2.0
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
  const Choice choice = choose_method({}, names({"umbra-4"}), {disk("vda", 1 << 20)});
  CHECK(choice.method == Method::full);
  CHECK_FALSE(choice.since);
}

TEST_CASE("the newest point's own checkpoint makes it a bitmap pass") {
  const Choice choice = choose_method({point(6, {vda}), point(7, {vda})}, names({"umbra-7"}), {disk("vda", 1 << 20)});
  CHECK(choice.method == Method::bitmap);
  CHECK(choice.since == CheckpointName("umbra-7"));
  CHECK(choice.why.empty());
}

TEST_CASE("an older checkpoint will do, the newest of them is taken, and a newer one never") {
  const std::vector points{point(7, {vda})};
  const std::vector disks{disk("vda", 1 << 20)};
  CHECK(choose_method(points, names({"umbra-3", "umbra-5", "umbra-8"}), disks).since == CheckpointName("umbra-5"));
  const Choice newer = choose_method(points, names({"umbra-8"}), disks);
  CHECK(newer.method == Method::digest);
  CHECK(newer.why.find("point 7") != std::string::npos);
}

TEST_CASE("checkpoints of others are none of Umbra's") {
  for (const char* name : {"backup-7", "umbra-", "umbra-x7", "umbra-7x", "umbra-07", "umbra--7"}) {
    INFO(name);
    CHECK_FALSE(point_of(CheckpointName(name)));
    CHECK(choose_method({point(7, {vda})}, names({name}), {disk("vda", 1 << 20)}).method == Method::digest);
  }
  CHECK(point_of(checkpoint_of({42})) == model::PointNumber{42});
}

TEST_CASE("disks that were added, removed or resized make it a digest pass that says so") {
  const std::vector points{point(7, {vda, vdb})};
  const auto checkpoints = names({"umbra-7"});
  const auto why = [&](const std::vector<model::Disk>& disks) {
    const Choice choice = choose_method(points, checkpoints, disks);
    CHECK(choice.method == Method::digest);
    return choice.why;
  };
  CHECK(why({disk("vda", 1 << 20), disk("vdb", 2 << 20)}).find("vdb was resized") != std::string::npos);
  CHECK(why({disk("vda", 1 << 20)}).find("vdb was removed") != std::string::npos);
  CHECK(why({disk("vda", 1 << 20), disk("vdb", 1 << 20), disk("vdc", 9)}).find("vdc was added") != std::string::npos);
  CHECK(choose_method(points, checkpoints, {disk("vda", 0), disk("vdb", 1 << 20)}).method == Method::bitmap);
}

TEST_CASE("the memory of a synced point is no disk that was removed") {
  CHECK(choose_method({point(7, {vda, memory})}, names({"umbra-7"}), {disk("vda", 1 << 20)}).method == Method::bitmap);
}

TEST_CASE("frozen files: the exact bitmap first, then the layer below, then an older bitmap, then digests") {
  FrozenPoint frozen;
  frozen.disks = {disk("vda", 1 << 20)};
  const std::vector points{point(7, {vda})};
  CHECK(choose_frozen({}, frozen).method == Method::full);
  CHECK(choose_frozen(points, frozen).method == Method::digest);
  frozen.checkpoints = names({"umbra-6"});
  CHECK(choose_frozen(points, frozen).method == Method::bitmap);
  frozen.stands_on[DiskName("vda")] = "/images/umbra/x/point-7/vda";
  CHECK(choose_frozen(points, frozen).method == Method::above);
  frozen.checkpoints = names({"umbra-6", "umbra-7"});
  CHECK(choose_frozen(points, frozen).since == CheckpointName("umbra-7"));
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
