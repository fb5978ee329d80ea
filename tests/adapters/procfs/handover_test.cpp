// SPDX-License-Identifier: Apache-2.0
// Two real QEMUs and a migration between them: what the guard holds, and what it must not.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <span>

#include "adapters/procfs/guard_door.hpp"
#include "adapters/procfs/image_hold.hpp"
#include "adapters/procfs/move_guard.hpp"
#include "adapters/procfs/streams.hpp"
#include "base/error.hpp"
#include "base/process.hpp"
#include "model/record.hpp"

namespace {

using namespace umbra;
using base::Millis;
using model::Json;
using procfs::Wish;
namespace fs = std::filesystem;

constexpr Millis deadline{20'000};
/// Tests run beside each other.
const std::string uuid = fmt::format("6f1c3d52-0000-4000-8000-{:012x}", ::getpid());

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
                    "-name",
                    "guest=handover,debug-threads=on",
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

/// What QEMU does where a migration fails as its last answer is waited for, each step when it is told to: it lets go of
/// its image and closes the connection, and the migration thread takes the image back. A real QEMU is done in a moment.
/// It never comes to the second here: that thread ends as where the guest was handed over.
constexpr const char* slow_qemu = R"(
import ctypes, fcntl, socket, struct, sys, threading
port, image = int(sys.argv[1]), open(sys.argv[2], "rb")
def lock(kind): fcntl.fcntl(image, 37, struct.pack("hhqqi", kind, 0, 101, 1, 0))  # F_OFD_SETLK
lock(fcntl.F_RDLCK)
print("up", flush=True)
sys.stdin.readline()
connection = socket.create_connection(("127.0.0.1", port))
end = threading.Event()
def migrate():
    ctypes.CDLL(None).prctl(15, b"live_migration")  # PR_SET_NAME
    print("migrates", flush=True)
    end.wait()
threading.Thread(target=migrate).start()
sys.stdin.readline()
lock(fcntl.F_UNLCK)
connection.close()
print("closed", flush=True)
sys.stdin.readline()
end.set()
sys.stdin.readline()
)";

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
  explicit Guarded(std::vector<std::string> images) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    m_theirs = base::UniqueFd(ends[0]);
    m_owner = base::UniqueFd(ends[1]);
    procfs::GuardOptions options;
    options.vm = model::Uuid(uuid);
    options.owner_fd = m_theirs.get();
    options.images = std::move(images);
    std::promise<void> ready;
    m_done = std::async(std::launch::async, [this, options, &ready] {
      bool begun = false;
      try {
        procfs::guard_move(options, m_cancel, base::system_clock(), [&] {
          begun = true;
          ready.set_value();
        });
      } catch (const base::Error&) {
        if (begun) throw;
        ready.set_exception(std::current_exception());
      }
    });
    ready.get_future().get();
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    m_owner.reset();
    m_cancel.request(15);
    while (m_done.wait_for(Millis{0}) != std::future_status::ready) procfs::ask_guard(model::Uuid(uuid), Wish::let_go);
  }
  bool ends() { return m_done.wait_for(deadline) == std::future_status::ready; }

 private:
  base::CancelToken m_cancel;
  base::UniqueFd m_theirs;
  base::UniqueFd m_owner;
  std::future<void> m_done;
};

/// Two that a migration is about to begin between.
struct TwoQemus {
  Folder folder;
  std::string here = image_in(folder, "a.qcow2");
  Qemu source{here};
  std::optional<Qemu> target{std::in_place, image_in(folder, "b.qcow2"), "tcp:127.0.0.1:0"};

  void begin(int bytes_per_s) {
    const std::string port =
        target->ask("query-migrate").at("return").at("socket-address").at(0).at("port").get<std::string>();
    source.ask("migrate-set-parameters", {{"max-bandwidth", bytes_per_s}});
    source.ask("migrate", {{"uri", "tcp:127.0.0.1:" + port}});
  }
};

bool comes_true_within(Millis time, const std::function<bool()>& what) {
  return base::wait_until(base::system_clock(), time, Millis{20}, what);
}
bool comes_true(const std::function<bool()>& what) {
  return comes_true_within(deadline, what);
}

bool asked(Wish wish) {
  return procfs::ask_guard(model::Uuid(uuid), wish);
}

bool is_root() {
  if (geteuid() == 0) return true;
  WARN("SKIPPED: another process's connections are seen by root alone");
  return false;
}

}  // namespace

TEST_CASE("QEMU takes images back after a migration, unless they are held") {
  const Folder folder;
  const std::string image = image_in(folder, "a.qcow2");
  CHECK_FALSE(procfs::is_written_to(image));
  Qemu qemu(image);
  CHECK(procfs::is_written_to(image));
  {
    // One that has its images is not disturbed, nor is who reads.
    const procfs::ImageHold hold({image});
    CHECK(qemu.ask("stop").contains("return"));
    CHECK(procfs::is_written_to(image));
    CHECK(qemu.ask("cont").contains("return"));
    CHECK(base::run({"qemu-img", "info", "-U", image}, "", deadline).status == 0);
  }
  qemu.ask("migrate", {{"uri", "exec:cat >/dev/null"}});
  REQUIRE(qemu.comes_to("postmigrate"));
  CHECK_FALSE(procfs::is_written_to(image));
  {
    const procfs::ImageHold hold({folder / "absent.qcow2", image});
    const Json answer = qemu.ask("cont");
    REQUIRE(answer.contains("error"));
    CHECK_THAT(answer.at("error").at("desc").get<std::string>(), Catch::Contains("lock"));
    CHECK(qemu.status() == "postmigrate");
    CHECK(base::run({"qemu-img", "info", image}, "", deadline).status == 0);
  }
  CHECK(qemu.ask("cont").contains("return"));
  CHECK(qemu.status() == "running");
}

TEST_CASE("images of which none can be held are told") {
  const Folder folder;
  CHECK_THROWS_AS(procfs::ImageHold({folder / "a.qcow2", folder / "b.qcow2"}), base::Error);
}

TEST_CASE("a guest that was handed over stands until its guard lets go") {
  if (!is_root()) return;
  TwoQemus two;
  Guarded guard({two.here});
  two.begin(300'000);
  REQUIRE(two.source.comes_to("postmigrate"));
  REQUIRE(two.target->comes_to("running"));
  REQUIRE(comes_true([&] { return is_held(two.here); }));
  CHECK(two.source.ask("cont").contains("error"));
  // Another guard gets no room, and what is held stays so.
  CHECK(asked(Wish::make_room));
  CHECK(is_held(two.here));
  // Whoever asks for it is told so, again as long as the guest has not gone on.
  CHECK(asked(Wish::let_go));
  CHECK(asked(Wish::let_go));
  CHECK(two.source.ask("cont").contains("return"));
  CHECK(two.source.status() == "running");
  REQUIRE(comes_true([] { return !asked(Wish::let_go); }));
  CHECK(guard.ends());
  CHECK_FALSE(asked(Wish::let_go));
}

TEST_CASE("a guard lets go with QEMU's end") {
  if (!is_root()) return;
  TwoQemus two;
  Guarded guard({two.here});
  two.begin(300'000);
  REQUIRE(two.source.comes_to("postmigrate"));
  REQUIRE(comes_true([&] { return is_held(two.here); }));
  two.source.ask("quit");
  CHECK(guard.ends());
  CHECK_FALSE(is_held(two.here));
}

TEST_CASE("a guest whose migration fails, or that is stopped by hand, is not held") {
  if (!is_root()) return;
  TwoQemus two;
  Guarded guard({two.here});
  two.begin(100'000);
  REQUIRE(two.source.migration_comes_to("active"));
  const bool stopped = GENERATE(false, true);
  if (stopped) two.source.ask("stop");
  two.target.reset();
  REQUIRE(two.source.migration_comes_to("failed"));
  // The guard has looked since: its answer is one of a later round.
  CHECK_FALSE(asked(Wish::make_room));
  CHECK(guard.ends());
  CHECK(two.source.status() == (stopped ? "paused" : "running"));
  CHECK(two.source.ask("stop").contains("return"));
  CHECK(two.source.ask("cont").contains("return"));
}

TEST_CASE("a guest is not held while its migration thread may take the images back") {
  if (!is_root()) return;
  const Folder folder;
  const std::string image = image_in(folder, "a.qcow2");
  const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const base::Child qemu = base::spawn({"bash", "-c", R"(exec -a qemu-handover-test /usr/bin/python3 -c "$0" "$@")", slow_qemu,
                                        std::to_string(ntohs(address.sin_port)), image, "-uuid", uuid},
                                       true, true);
  const auto says = [&](const std::string& word) {
    std::string text(word.size() + 1, ' ');
    REQUIRE(base::readable_within(qemu.from_child.get(), deadline));
    REQUIRE(base::read_full(qemu.from_child.get(), std::as_writable_bytes(std::span(text)), "it") == text.size());
    return text == word + "\n";
  };
  const auto goes_on = [&] { base::write_all(qemu.to_child.get(), std::string_view("\n"), "it"); };
  REQUIRE(says("up"));
  Guarded guard({image});
  goes_on();
  REQUIRE(says("migrates"));
  // Seen by the guard: an end of nothing would be no end.
  const procfs::Streams streams(*procfs::qemu_of(model::Uuid(uuid)));
  REQUIRE(streams.begun().size() == 1);
  CHECK(streams.is_migrating());
  CHECK_FALSE(comes_true_within(Millis{200}, [&] { return is_held(image); }));
  goes_on();
  REQUIRE(says("closed"));
  CHECK_FALSE(comes_true_within(Millis{500}, [&] { return is_held(image); }));
  goes_on();
  CHECK(comes_true([&] { return is_held(image); }));
  CHECK_FALSE(streams.is_migrating());
  goes_on();
  CHECK(guard.ends());
}

TEST_CASE("two guards of one guest exclude each other, and one that has ended is no guard") {
  const model::Uuid vm("6f1c3d52-0000-4000-8000-00000000d00d");
  CHECK_FALSE(procfs::ask_guard(vm, Wish::let_go));
  {
    const procfs::GuardDoor door(vm);
    CHECK_THROWS_AS(procfs::GuardDoor(vm), base::Error);
    CHECK_THROWS_AS(procfs::ask_guard(vm, Wish::let_go, Millis{50}), base::Error);
  }
  CHECK_FALSE(procfs::ask_guard(vm, Wish::let_go));
}
