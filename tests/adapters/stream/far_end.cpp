// SPDX-License-Identifier: Apache-2.0
// A session with a real process that writes real layers.

#include <signal.h>
#include <sys/mount.h>

#include "adapters/nbd/images.hpp"
#include "adapters/stream/stream.hpp"

using namespace umbra;
namespace fs = std::filesystem;
using test::shadow;
using test::vda;
using test::vm;

namespace {

constexpr std::uint64_t block = model::block_size;
constexpr std::uint64_t size = 8u << 20;

base::Argv session(const fs::path& images) {
  return {UMBRA_FAR_END, "session", images.string()};
}

std::vector<std::byte> noise(std::uint64_t seed) {
  std::vector<std::byte> data(block);
  for (std::byte& b : data)
    b = static_cast<std::byte>((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 56);
  return data;
}

model::PointHeader header_for(ports::PointStore& store, std::uint64_t bytes) {
  model::PointHeader header = test::next_header(store);
  header.parts = {{vda, {bytes}}};
  return header;
}

}  // namespace

TEST_CASE("over a session points are written, read back, verified, merged and stood upon") {
  const test::Scratch scratch;
  const auto far = stream::connect(session(scratch / "images"));
  nbd::LocalPoints there(scratch / "images");
  test::make_shadow(*far, size);
  CHECK(far->shadows() == std::vector<model::ShadowId>{shadow});
  const std::string source = test::make_image(scratch / "source.qcow2", "8M");
  test::guest(source, "write -P 1 0 3M");
  test::must({"qemu-img", "bitmap", "--add", "--enable", source, "b"});
  test::pass(*far, {source, "qcow2", {}, {}});
  test::guest(source, "write -P 2 1M 128k");
  test::guest(source, "write -z 2M 256k");
  const model::PointInfo second = test::pass(*far, {source, "qcow2", "b", {}});
  CHECK(second.number.value == 2);
  CHECK(test::same_contents(source, second.layers.at(0)));
  CHECK(second.root == there.points(shadow).back().root);
  CHECK(far->manifest(shadow, {2}).parts.at(0).blocks == there.manifest(shadow, {2}).parts.at(0).blocks);
  CHECK(far->verify(shadow, {2}, ports::Verify::whole).sound());
  CHECK(far->activity(shadow, {2}).empty());
  CHECK(far->free_space().value > 0);
  CHECK(far->retain(shadow, 1) == 1);
  const auto top = far->raise_top(shadow, {2}, "epoch-1");
  CHECK(far->chain(top.at(vda)).size() == 2);
  const model::FileStamp before = far->stamp(source);
  CHECK(before == there.stamp(source));
  CHECK(before.bytes == fs::file_size(source));
  CHECK(test::same_contents(source, top.at(vda)));
  far->drop_top(shadow, "epoch-1");
  far->adopt({shadow, vm, {5}, base::Instant{}, {{vda, source}}, far->manifest(shadow, {2})});
  CHECK(there.points(shadow).back().layers.at(0) == source);
  far->remove_made((scratch / "x.umbra-e1.qcow2").string());
  far->drop_with_adopted(shadow);
  CHECK(far->shadows().empty());
  CHECK_FALSE(fs::exists(source));
  const model::ShadowId pooled{"pool-1"};
  far->create(pooled, model::VmName("pool:small"), {{vda, {size}}});
  CHECK(far->claim(pooled, shadow, vm, {{vda, {size}}}).size() == 1);
  far->take_back(shadow);  // it was claimed a moment ago
  CHECK(far->shadows().empty());
  far->take_back(shadow);
  far->drop(shadow);
}

TEST_CASE("over a session damage is told, what is really there arrives, and a point is built on it") {
  const test::Scratch scratch;
  const auto far = stream::connect(session(scratch / "images"));
  test::make_shadow(*far, size);
  CHECK_FALSE(far->examine(shadow).parent);
  const std::string source = test::make_image(scratch / "source.qcow2", "8M");
  test::guest(source, "write -P 1 0 3M");
  test::pass(*far, {source, "qcow2", {}, {}});
  const model::Ground sound = far->examine(shadow);
  CHECK(sound.parent->root == far->points(shadow).back().root);
  CHECK_FALSE(sound.found);
  CHECK(far->verify(shadow, {1}, ports::Verify::sample).sound());

  test::guest(test::newest_layer(*far), "write -P 99 128k 512");
  const model::Ground ground = far->examine(shadow);
  CHECK(ground.last.value == 1);
  CHECK_THAT(ground.damage, Catch::Contains("point 1 is damaged: vda at byte 131072"));
  CHECK(far->points(shadow).back().damaged == nbd::LocalPoints(scratch / "images").points(shadow).back().damaged);
  REQUIRE(ground.found);
  CHECK(ground.parent->root == model::root_of(*ground.found));
  model::PointHeader header = test::next_header(*far);
  header.parts = {{vda, {size}}};
  CHECK(test::error_of([&] { far->begin(header); }).kind() ==
        base::Kind::refused);  // as its manifest says: not believed
  header.parent_root = ground.parent->root;
  const auto from = test::open_export({source, "qcow2", {}, {}});
  auto sink = far->begin(header);
  ports::ChangeDigest changes;
  const ports::CopyCounts counts = test::send_disk(
      *from, *sink, changes,
      {.part = 0, .parent = ports::ParentBlocks::known(ground.found->parts.at(0)), .look = ports::Look::all});
  CHECK(counts.data.value == block);
  sink->commit(changes.finish());
  sink.reset();
  CHECK(test::same_contents(source, test::newest_layer(*far)));
  CHECK(far->retain(shadow, {1, base::Instant{}}) == 1);
  CHECK(far->export_point(shadow, {2}, scratch / "copy.qcow2").size() == 1);
  CHECK(test::same_contents(source, scratch / "copy.qcow2"));
}

TEST_CASE("errors of the far end arrive with their kind, words, hint and context") {
  const test::Scratch scratch;
  const auto far = stream::connect(session(scratch / "images"));
  nbd::LocalPoints there(scratch / "images");
  test::make_shadow(*far, size);
  const auto acts = std::vector<std::function<void(ports::PointStore&)>>{
      [](auto& s) { s.manifest(shadow, {7}); },
      [](auto& s) { s.create(shadow, model::VmName("other"), {}); },
      [](auto& s) { s.create(model::ShadowId(".."), vm, {}); },
      [](auto& s) { s.chain("/nonexistent.qcow2"); },
      [](auto& s) { s.stamp("/nonexistent.qcow2"); },
      [](auto& s) {
        s.adopt({shadow, vm, {1}, {}, {{vda, "/nonexistent.qcow2"}}, {{{{vda, {block}}, {base::Digest{}}}}}});
      },
      [](auto& s) { s.begin(model::PointHeader{}); },
  };
  for (const auto& act : acts) {
    const auto local = test::error_of([&] { act(there); });
    const auto remote = test::error_of([&] { act(*far); });
    CHECK(remote.kind() == local.kind());
    CHECK(std::string(remote.what()) == local.what());
    CHECK(remote.hint() == local.hint());
    CHECK(remote.context() == local.context());
  }
  CHECK(far->points(shadow).empty());
}

TEST_CASE("a manifest larger than one frame arrives whole") {
  const test::Scratch scratch;
  const auto far = stream::connect(session(scratch / "images"));
  constexpr std::uint64_t large = 5ull << 30;
  test::make_shadow(*far, large);
  const std::string source = test::make_image(scratch / "source.qcow2", std::to_string(large));
  test::guest(source, "write -P 1 0 64k");
  test::guest(source, "write -P 2 4G 64k");
  test::pass(*far, {source, "qcow2", {}, {}});
  const auto manifest = far->manifest(shadow, {1});
  CHECK(manifest.parts.at(0).blocks.size() == large / block);
  CHECK(model::root_of(manifest) == far->points(shadow).at(0).root);
}

TEST_CASE("a far end that dies, never was one, or speaks otherwise is told with its command") {
  const auto exits = test::error_of([] { stream::connect({UMBRA_FAR_END, "exit", "3"}); });
  CHECK(exits.kind() == base::Kind::unreachable);
  CHECK_THAT(exits.what(), Catch::Contains("ended with status 3") && Catch::Contains("test_far_end exit 3"));
  CHECK_THAT(exits.hint(), Catch::Contains("test_far_end exit 3"));
  const auto talks = test::error_of([] { stream::connect({UMBRA_FAR_END, "say", "Welcome to beta!"}); });
  CHECK(talks.kind() == base::Kind::unreachable);
  CHECK_THAT(talks.what(), Catch::Contains("Welcome to beta"));
  CHECK_THROWS_AS(stream::connect({"/nonexistent/umbra"}), base::Error);
}

TEST_CASE("a far end that is killed within a point gives unreachable, and leaves the last point") {
  const test::Scratch scratch;
  const fs::path pid_file = scratch / "pid";
  const std::string start =
      "echo $$ >" + pid_file.string() + "; exec " UMBRA_FAR_END " session " + (scratch / "images").string();
  const auto far = stream::connect({"sh", "-c", start});
  test::make_shadow(*far, size);
  auto sink = far->begin(header_for(*far, size));
  const auto data = noise(1);
  sink->data(0, 0, base::sha256(data), data);
  ::kill(std::stoi(base::read_text_file(pid_file)), SIGKILL);
  const auto error = test::error_of([&] {
    for (std::uint64_t b = 1; b < size / block; ++b) sink->data(0, b, base::sha256(data), data);
    sink->commit({});
  });
  CHECK(error.kind() == base::Kind::unreachable);
  CHECK_THAT(error.what(), Catch::Contains("status 137"));
  sink.reset();
  CHECK(test::error_of([&] { far->points(shadow); }).kind() == base::Kind::unreachable);
  nbd::LocalPoints there(scratch / "images");
  CHECK(there.points(shadow).empty());
}

TEST_CASE("a disk that fills up over there is told as such while the point is still being sent") {
  const test::Scratch scratch;
  const fs::path small = scratch / "small";
  fs::create_directory(small);
  if (::mount("none", small.c_str(), "tmpfs", 0, "size=8m") != 0) {
    std::cerr << "skipped: mounting a tmpfs needs root\n";
    std::exit(77);
  }
  struct Unmount {
    fs::path path;
    ~Unmount() { ::umount(path.c_str()); }
  } const unmount{small};
  const auto far = stream::connect(session(small));
  constexpr std::uint64_t large = 256u << 20;
  test::make_shadow(*far, large);
  std::uint64_t sent = 0;
  {
    const auto sink = far->begin(header_for(*far, large));
    const auto data = noise(2);
    const auto error = test::error_of([&] {
      for (std::uint64_t b = 0; b < large / block; ++b, ++sent) sink->data(0, b, base::sha256(data), data);
    });
    CHECK(error.kind() == base::Kind::no_space);
  }
  CHECK(sent < large / block / 2);
  CHECK(far->points(shadow).empty());  // the session goes on
  CHECK(far->free_space().value > 4u << 20);
}

TEST_CASE("a point that is let go, or damaged on its way, leaves the session usable and the shadow as it was") {
  const test::Scratch scratch;
  const auto far = stream::connect(session(scratch / "images"));
  test::make_shadow(*far, size);
  const auto data = noise(3);
  {
    const auto sink = far->begin(header_for(*far, size));
    sink->data(0, 0, base::sha256(data), data);
    CHECK(test::error_of([&] { far->points(shadow); }).kind() == base::Kind::internal);  // one thing at a time
  }
  CHECK(far->points(shadow).empty());
  {
    const auto sink = far->begin(header_for(*far, size));
    sink->data(0, 0, base::sha256(noise(4)), data);
    CHECK(test::error_of([&] { sink->commit({}); }).kind() == base::Kind::corrupt);
  }
  {
    const auto sink = far->begin(header_for(*far, size));
    sink->data(0, 0, base::sha256(data), data);
    CHECK(test::error_of([&] { sink->commit({}); }).kind() == base::Kind::corrupt);
  }
  const auto sink = far->begin(header_for(*far, size));
  ports::ChangeDigest changes;
  sink->data(0, 0, base::sha256(data), data);
  changes.data(0, 0, base::sha256(data));
  CHECK(sink->commit(changes.finish()).number.value == 1);
  CHECK(sink->sent().value > block);
}

TEST_CASE("one point over a pipe to a real receiver") {
  const test::Scratch scratch;
  nbd::LocalPoints there(scratch / "images");
  const bool torn = GENERATE(false, true);
  base::Child child = base::spawn({UMBRA_FAR_END, "one-way", (scratch / "images").string()}, true, false);
  const auto data = noise(5);
  {
    const auto sink = stream::send_one_way(child.to_child.get(), header_for(there, size));
    ports::ChangeDigest changes;
    sink->data(0, 2, base::sha256(data), data);
    changes.data(0, 2, base::sha256(data));
    if (!torn) sink->commit(changes.finish());
  }
  child.to_child.reset();
  CHECK(child.wait() == (torn ? 1 : 0));
  CHECK(there.points(shadow).size() == (torn ? 0 : 1));
}
