// SPDX-License-Identifier: Apache-2.0
// Two real QEMUs and a migration between them: what the guard holds, and what it must not.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <future>
#include <mutex>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/image_hold.hpp"
#include "adapters/procfs/move_guard.hpp"
#include "base/error.hpp"
#include "base/process.hpp"
#include "model/record.hpp"

namespace {

using namespace umbra;
using base::Millis;
using model::Json;
namespace fs = std::filesystem;

constexpr Millis deadline{20'000};
const std::string uuid = "6f1c3d52-0000-4000-8000-00000000beef";

class Folder {
 public:
  Folder() {
    std::string name = fs::temp_directory_path() / "umbra-handover-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    m_path = name;
  }
  Folder(const Folder&) = delete;
  ~Folder() { fs::remove_all(m_path); }
  std::string operator/(const std::string& name) const { return m_path / name; }

 private:
  fs::path m_path;
};

std::string image_in(const Folder& folder, const std::string& name) {
  const std::string path = folder / name;
  REQUIRE(base::run({"qemu-img", "create", "-q", "-f", "qcow2", path, "16M"}, "", deadline).status == 0);
  return path;
}

/// A machine without anything but a disk, spoken to on its standard streams.
class Qemu {
 public:
  explicit Qemu(const std::string& image, const std::string& incoming = "") {
    base::Argv argv{"qemu-system-x86_64",
                    "-nodefaults",
                    "-display",
                    "none",
                    "-m",
                    "32",
                    "-accel",
                    "tcg",
                    "-qmp",
                    "stdio",
                    "-uuid",
                    uuid,
                    "-blockdev",
                    fmt::format("driver=qcow2,node-name=d,file.driver=file,file.filename={}", image),
                    "-device",
                    "virtio-blk-pci,drive=d"};
    if (!incoming.empty()) argv.insert(argv.end(), {"-incoming", incoming});
    m_child.emplace(base::spawn(argv, true, true));
    ask("qmp_capabilities");
  }
  /// Its answer: "return" or "error", with what is in it.
  Json ask(const std::string& command, const Json& arguments = Json::object()) {
    const Json question{{"execute", command}, {"arguments", arguments}};
    base::write_all(m_child->to_child.get(), question.dump() + "\n", "QEMU");
    for (;;) {
      const Json answer = Json::parse(line());
      if (answer.contains("return") || answer.contains("error")) return answer;
    }
  }
  std::string status() { return ask("query-status").at("return").at("status"); }
  std::string migration() { return ask("query-migrate").at("return").value("status", ""); }
  bool comes_to(const std::string& wanted) {
    return base::wait_until(base::system_clock(), deadline, Millis{10}, [&] { return status() == wanted; });
  }
  bool migration_comes_to(const std::string& wanted) {
    return base::wait_until(base::system_clock(), deadline, Millis{10}, [&] { return migration() == wanted; });
  }

 private:
  std::string line() {
    std::string text;
    std::array<std::byte, 1> byte{};
    while (text.empty() || text.back() != '\n') {
      REQUIRE(base::readable_within(m_child->from_child.get(), deadline));
      REQUIRE(base::read_full(m_child->from_child.get(), byte, "QEMU") == 1);
      text += static_cast<char>(byte[0]);
    }
    return text;
  }
  std::optional<base::Child> m_child;
};

/// Whether somebody keeps others from writing to it.
bool is_held(const std::string& image) {
  const base::UniqueFd fd(::open(image.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(fd);
  struct flock byte {};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = 201;
  byte.l_len = 1;
  REQUIRE(::fcntl(fd.get(), F_OFD_GETLK, &byte) == 0);
  return byte.l_type != F_UNLCK;
}

/// A guard on a thread of its own, whose owner is this test.
class Guarded {
 public:
  explicit Guarded(std::string image) : m_image(std::move(image)) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    m_theirs = base::UniqueFd(ends[0]);
    m_owner = base::UniqueFd(ends[1]);
    procfs::GuardOptions options{.vm = model::Uuid(uuid)};
    options.owner_fd = m_theirs.get();
    options.images_of_standing = [this] {
      const std::lock_guard lock(m_mutex);
      return m_seen;
    };
    std::promise<void> ready;
    m_done = std::async(std::launch::async, [this, options, &ready] {
      procfs::guard_move(options, m_cancel, base::system_clock(), [&] { ready.set_value(); });
    });
    ready.get_future().wait();
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    m_cancel.request(15);
    m_done.wait();
  }
  void stands(bool now) { see(now ? std::vector{m_image} : std::vector<std::string>{}); }
  void can_not_be_told() { see(std::nullopt); }
  bool ends() { return m_done.wait_for(deadline) == std::future_status::ready; }
  bool holds() {
    return base::wait_until(base::system_clock(), deadline, Millis{20}, [&] { return is_held(m_image); });
  }

 private:
  std::string m_image;
  void see(std::optional<std::vector<std::string>> seen) {
    const std::lock_guard lock(m_mutex);
    m_seen = std::move(seen);
  }

  std::mutex m_mutex;
  std::optional<std::vector<std::string>> m_seen{std::vector<std::string>{}};
  base::CancelToken m_cancel;
  base::UniqueFd m_theirs;
  base::UniqueFd m_owner;
  std::future<void> m_done;
};

bool is_root() {
  if (geteuid() == 0) return true;
  WARN("SKIPPED: another process's connections are seen by root alone");
  return false;
}

}  // namespace

TEST_CASE("QEMU takes images back after a migration, unless they are held") {
  const Folder folder;
  const std::string image = image_in(folder, "a.qcow2");
  Qemu qemu(image);
  {
    // One that has its images is not disturbed, nor is who reads.
    const procfs::ImageHold hold({image});
    CHECK(qemu.ask("stop").contains("return"));
    CHECK(qemu.ask("cont").contains("return"));
    CHECK(base::run({"qemu-img", "info", "-U", image}, "", deadline).status == 0);
  }
  qemu.ask("migrate", {{"uri", "exec:cat >/dev/null"}});
  REQUIRE(qemu.comes_to("postmigrate"));
  {
    const procfs::ImageHold hold({image});
    const Json answer = qemu.ask("cont");
    REQUIRE(answer.contains("error"));
    CHECK_THAT(answer.at("error").at("desc").get<std::string>(), Catch::Contains("lock"));
    CHECK(qemu.status() == "postmigrate");
    CHECK(base::run({"qemu-img", "info", image}, "", deadline).status == 0);
  }
  CHECK(qemu.ask("cont").contains("return"));
  CHECK(qemu.status() == "running");
}

TEST_CASE("images that are not there are told, and none is held then") {
  const Folder folder;
  const std::string image = image_in(folder, "a.qcow2");
  CHECK_THROWS_AS(procfs::ImageHold({image, folder / "b.qcow2"}), base::Error);
  Qemu qemu(image);
  CHECK(qemu.status() == "running");
}

TEST_CASE("a guest that was handed over stands until its guard is ended") {
  if (!is_root()) return;
  const Folder folder;
  const std::string here = image_in(folder, "a.qcow2");
  Qemu source(here);
  Guarded guard(here);
  Qemu target(image_in(folder, "b.qcow2"), "tcp:127.0.0.1:0");
  const std::string port =
      target.ask("query-migrate").at("return").at("socket-address").at(0).at("port").get<std::string>();
  source.ask("migrate-set-parameters", {{"max-bandwidth", 300'000}});  // so that it is seen
  source.ask("migrate", {{"uri", "tcp:127.0.0.1:" + port}});
  REQUIRE(source.comes_to("postmigrate"));
  REQUIRE(target.comes_to("running"));
  guard.stands(true);
  REQUIRE(guard.holds());
  CHECK(source.ask("cont").contains("error"));
  guard.can_not_be_told();
  CHECK_FALSE(base::wait_until(base::system_clock(), Millis{1500}, Millis{20}, [&] { return !is_held(here); }));
  // Whoever ends the guard is told so, again as long as the guest has not gone on.
  CHECK(procfs::end_guard(model::Uuid(uuid)));
  CHECK(procfs::end_guard(model::Uuid(uuid)));
  CHECK(source.ask("cont").contains("return"));
  CHECK(source.status() == "running");
  guard.stands(false);
  CHECK_FALSE(procfs::end_guard(model::Uuid(uuid)));
  CHECK(guard.ends());
  CHECK_FALSE(procfs::end_guard(model::Uuid(uuid)));
}

TEST_CASE("a guest whose migration fails is not held") {
  if (!is_root()) return;
  const Folder folder;
  const std::string here = image_in(folder, "a.qcow2");
  Qemu source(here);
  Guarded guard(here);
  {
    Qemu target(image_in(folder, "b.qcow2"), "tcp:127.0.0.1:0");
    const std::string port =
        target.ask("query-migrate").at("return").at("socket-address").at(0).at("port").get<std::string>();
    source.ask("migrate-set-parameters", {{"max-bandwidth", 100'000}});
    source.ask("migrate", {{"uri", "tcp:127.0.0.1:" + port}});
    REQUIRE(source.migration_comes_to("active"));
  }
  REQUIRE(source.migration_comes_to("failed"));
  CHECK(source.ask("stop").contains("return"));
  CHECK(source.ask("cont").contains("return"));
  CHECK_FALSE(procfs::end_guard(model::Uuid(uuid)));
  CHECK(guard.ends());
}

TEST_CASE("two guards of one guest exclude each other, and one that has ended is no guard") {
  const model::Uuid vm("6f1c3d52-0000-4000-8000-00000000d00d");
  CHECK_FALSE(procfs::end_guard(vm));
  {
    const procfs::GuardDoor door(vm);
    CHECK_THROWS_AS(procfs::GuardDoor(vm), base::Error);
    CHECK_THROWS_AS(procfs::end_guard(vm, Millis{50}), base::Error);
  }
  CHECK_FALSE(procfs::end_guard(vm));
}
