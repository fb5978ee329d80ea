// SPDX-License-Identifier: Apache-2.0
// What killed and cut runs leave of a shadow, what hostile or broken requests find, and who holds its folder.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "adapters/nbd/process.hpp"
#include "adapters/nbd/qemu_img.hpp"
#include "adapters/nbd/shadow_folder.hpp"
#include "adapters/store/fork.hpp"
#include "one_point.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::block;
using test::cut_pass;
using test::OnePoint;
using test::shadow;
using test::vda;
using test::vm;

namespace {

constexpr std::uint64_t size = test::one_point_size;

}  // namespace

TEST_CASE("what a cut pass sent outlives a rehearsal and a thinning out, and goes once its number is given") {
  OnePoint one;
  const fs::path folder = one.folder;
  test::guest(one.source, "write -P 5 0 256k");
  cut_pass(one.store, {one.source, "qcow2", {}, {}}, 4);
  one.store.raise_top(shadow, {1}, "rehearsal");
  one.store.drop_top(shadow, "rehearsal");
  one.store.retain(shadow, 1);
  ports::CopyCounts counts;
  test::pass(one.store, {one.source, "qcow2", {}, {}}, &counts, true);
  CHECK(counts.resumed.value == 4 * block);
  fs::create_directories(folder / "incoming-000002");  // of a number that is given
  fs::create_directories(folder / "incoming-000003");
  one.store.retain(shadow, 2);
  CHECK_FALSE(fs::exists(folder / "incoming-000002"));
  CHECK(fs::exists(folder / "incoming-000003"));
}

TEST_CASE("half files of a process that was killed are swept, those of one that lives stay") {
  OnePoint one;
  const fs::path folder = one.folder;
  base::Child gone = base::spawn({"true"}, false, false);
  const std::string dead = ".tmp." + std::to_string(gone.pid());
  gone.wait();
  const std::vector<fs::path> left{folder / ("shadow.json" + dead), folder / "point-000001" / ("damaged" + dead),
                                   folder / "descriptions" / ("point-000001.json" + dead)};
  const fs::path alive = folder / ("shadow.json.tmp." + std::to_string(::getpid()));
  for (const fs::path& file : left) std::ofstream(file) << "half";
  std::ofstream(alive) << "half";
  one.store.retain(shadow, 1);
  for (const fs::path& file : left) CHECK_FALSE(fs::exists(file));
  CHECK(fs::exists(alive));
}

TEST_CASE("a lock on a folder that has another name by now is none") {
  OnePoint one;
  const fs::path folder = one.folder;
  const auto opened = [&] { return base::open_file(folder, O_RDONLY | O_DIRECTORY); };
  CHECK(nbd::FolderLock::of_opened(opened(), folder));
  base::UniqueFd renamed = opened();
  fs::rename(folder, one.scratch / "images/umbra/web2");
  base::UniqueFd replaced = base::open_file(one.scratch / "images/umbra/web2", O_RDONLY | O_DIRECTORY);
  CHECK_FALSE(nbd::FolderLock::of_opened(std::move(renamed), folder));
  fs::create_directory(folder);
  CHECK_FALSE(nbd::FolderLock::of_opened(std::move(replaced), folder));
  CHECK_NOTHROW(nbd::FolderLock(folder));
}

TEST_CASE("a file system that fails is told as an error with the path, and what to look at") {
  OnePoint one;
  const fs::path broken = one.folder;
  fs::rename(broken, one.scratch / "images/umbra/.away");
  fs::create_symlink("web1", broken);  // leads round in a circle: nothing below can be asked for
  const std::string file = (broken / "a.umbra-b.qcow2").string();
  const model::Manifest manifest;
  const auto part = std::vector<model::Part>{{vda, {size}}};
  ports::PointStore& store = one.store;
  const std::vector<std::pair<std::string, std::function<void()>>> calls{
      {"create", [&] { store.create(shadow, vm, part); }},
      {"claim", [&] { store.claim(shadow, model::ShadowId("web2"), vm, part); }},
      {"drop", [&] { store.drop(shadow); }},
      {"drop_with_adopted", [&] { store.drop_with_adopted(shadow); }},
      {"take_back", [&] { store.take_back(shadow); }},
      {"points", [&] { store.points(shadow); }},
      {"manifest", [&] { store.manifest(shadow, {1}); }},
      {"activity", [&] { store.activity(shadow, {1}); }},
      {"examine", [&] { store.examine(shadow); }},
      {"begin",
       [&] {
         store.begin({shadow, vm, {4}, {0}, {}, {}, part, "", ""});
       }},
      {"verify", [&] { store.verify(shadow, {1}, ports::Verify::whole); }},
      {"retain", [&] { store.retain(shadow, 1); }},
      {"export_point", [&] { store.export_point(shadow, {1}, (one.scratch / "out").string()); }},
      {"raise_top", [&] { store.raise_top(shadow, {1}, "rehearsal"); }},
      {"drop_top", [&] { store.drop_top(shadow, "rehearsal"); }},
      {"adopt",
       [&] {
         store.adopt({shadow, vm, {4}, {}, {{vda, file}}, manifest});
       }},
      {"remove_made", [&] { store.remove_made(file); }},
      {"chain", [&] { store.chain(file); }},
      {"stamp", [&] { store.stamp(file); }},
  };
  for (const auto& call : calls) {
    CAPTURE(call.first);
    const base::Error error = test::error_of(call.second);
    CHECK(error.kind() == base::Kind::io);
    CHECK_THAT(error.message(), Catch::Contains(broken.string()) && !Catch::Contains("filesystem error"));
    CHECK_THAT(error.hint(), Catch::Contains("namei"));
  }
}

TEST_CASE("a shadow whose folder can't be looked at hides no other one, and may still name a file that is to go") {
  OnePoint one;
  fs::create_symlink("web0", one.scratch / "images/umbra/web0");  // leads round in a circle
  CHECK(one.store.shadows() == std::vector{shadow});
  CHECK(one.store.verify(shadow, {1}, ports::Verify::whole).sound());
  const fs::path file = one.scratch / "a.umbra-b.qcow2";
  std::ofstream(file) << "a layer, perhaps";
  CHECK(test::error_of([&] { one.store.remove_made(file); }).kind() == base::Kind::io);
  CHECK(fs::exists(file));
  fs::remove(one.scratch / "images/umbra/web0");
  one.store.remove_made(file);
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("parts that no point can have are neither adopted nor made") {
  const test::Scratch scratch;
  nbd::LocalPoints store(scratch / "images");
  test::make_shadow(store, size);
  const std::string disk = test::make_image(scratch / "vda.qcow2", "8M");
  const auto part = [](const std::string& name, std::uint64_t bytes) {
    return model::PartManifest{{model::DiskName(name), {bytes}}, base::DigestList(model::blocks_in({bytes}))};
  };
  const auto adopting = [&](std::vector<model::PartManifest> parts, std::map<model::DiskName, std::string> layers) {
    return test::kind_of([&] { store.adopt({shadow, vm, {1}, base::Instant{}, layers, {std::move(parts)}}); });
  };
  // The second name is of no part: the same part twice would stand in for it.
  CHECK(adopting({part("vda", size), part("vda", size)}, {{vda, disk}, {model::DiskName("vdb"), disk}}) ==
        base::Kind::invalid);
  CHECK(adopting({}, {}) == base::Kind::invalid);
  CHECK(store.points(shadow).empty());
  CHECK(test::kind_of([&] {
          store.create(model::ShadowId("web2"), vm, {{vda, {model::most_size + 512}}});
        }) == base::Kind::invalid);
  CHECK(store.shadows() == std::vector{shadow});
}

TEST_CASE("a server whose umbra is killed before it has connected ends") {
  test::Scratch scratch;
  const std::string told = scratch / "pid";
  const pid_t umbra = test::start([&] {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::exception();
    const std::string tell = "echo $$ >" + told + ".new; mv " + told + ".new " + told + "; exec sleep 600";
    nbd::Process server({"sh", "-c", tell}, {.listener = ends[0]});
    ::pause();
  });
  REQUIRE(
      base::wait_until(base::system_clock(), base::Millis{30'000}, base::Millis{5}, [&] { return fs::exists(told); }));
  std::string pid;
  std::ifstream(told) >> pid;
  REQUIRE_FALSE(pid.empty());
  ::kill(umbra, SIGKILL);
  CHECK(test::reap(umbra) == 128 + SIGKILL);
  CHECK(base::wait_until(base::system_clock(), base::Millis{10'000}, base::Millis{5},
                         [&] { return test::is_gone(pid); }));
}

TEST_CASE("the empty layer of a disk that was resized is made anew, and the points stay") {
  OnePoint one;
  one.store.create(shadow, vm, {{vda, {2 * size}}});
  CHECK(nbd::qemu_img::info(one.folder / "empty" / "vda.qcow2").size.value == 2 * size);
  CHECK(one.store.points(shadow).size() == 1);
}
