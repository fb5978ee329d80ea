// SPDX-License-Identifier: Apache-2.0
// Real connections of this process over a loopback of their own, which is then taken down under them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>

#include "adapters/procfs/peer_probe.hpp"
#include "adapters/procfs/streams.hpp"
#include "base/error.hpp"
#include "base/process.hpp"

namespace {

using namespace umbra;
using base::Millis;
using base::UniqueFd;

constexpr Millis deadline{20'000};
constexpr Millis step{20};

void set_loopback(bool up) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  REQUIRE(::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0);
  request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
  REQUIRE(::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0);
}

struct Pair {
  UniqueFd near;
  UniqueFd far;
};

class Listener {
 public:
  explicit Listener(int most_waiting) : m_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    m_address.sin_family = AF_INET;
    m_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof m_address;
    auto* const generic = reinterpret_cast<sockaddr*>(&m_address);
    REQUIRE(::bind(m_socket.get(), generic, size) == 0);
    REQUIRE(::listen(m_socket.get(), most_waiting) == 0);
    REQUIRE(::getsockname(m_socket.get(), generic, &size) == 0);
  }
  int connect(const UniqueFd& socket) const {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&m_address), sizeof m_address);
  }
  UniqueFd accept() const { return UniqueFd(::accept4(m_socket.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

 private:
  UniqueFd m_socket;
  sockaddr_in m_address{};
};

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

Pair connected() {
  const Listener listener(1);
  Pair pair{new_socket(), {}};
  REQUIRE(listener.connect(pair.near) == 0);
  pair.far = listener.accept();
  REQUIRE(pair.far);
  return pair;
}

/// The connection as another process would find it, by the socket's inode.
procfs::Stream found(const UniqueFd& socket) {
  const std::string link = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(socket.get()));
  const std::uint64_t inode = std::stoull(link.substr(link.find('[') + 1));
  auto streams = procfs::Streams(::getpid()).begun();
  std::erase_if(streams, [&](const procfs::Stream& each) { return each.inode != inode; });
  REQUIRE(streams.size() == 1);
  return std::move(streams.front());
}

/// Sends until nothing more is taken.
void fill(const UniqueFd& socket) {
  static const std::array<char, 65536> data{};
  while (::send(socket.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
}

/// Runs in a thread whose network is its own; false where this user may not have one.
bool in_own_network(const std::function<void()>& test) {
  bool ran = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    ran = true;
    set_loopback(true);
    test();
  }).join();
  return ran;
}

}  // namespace

TEST_CASE("connections of a process are found, told and cut") {
  const Pair pair = connected();
  const procfs::Stream stream = found(pair.near);
  CHECK(procfs::peer_of(stream).starts_with("127.0.0.1:"));
  CHECK_FALSE(procfs::is_stalled(stream, Millis{0}));
  procfs::cut(stream);
  std::array<char, 1> byte{};
  CHECK(::recv(pair.far.get(), byte.data(), byte.size(), 0) == 0);
}

TEST_CASE("a connection that does not come about is told, and whoever waits for it freed") {
  const Listener full(0);
  const UniqueFd first = new_socket();
  REQUIRE(full.connect(first) == 0);
  const UniqueFd waiting = new_socket();
  std::atomic<int> failure{0};
  std::thread caller([&] {
    if (full.connect(waiting) != 0) failure = errno;
  });
  std::optional<procfs::Stream> stream;
  CHECK(base::wait_until(base::system_clock(), deadline, step, [&] {
    stream.reset();  // held here, it would be found too
    stream.emplace(found(waiting));
    return procfs::is_connecting(*stream);
  }));
  CHECK_FALSE(procfs::is_connected(*stream));
  procfs::cut(*stream);
  caller.join();
  CHECK(failure != 0);
}

TEST_CASE("a receiver that takes nothing for a while is no cut link") {
  const Pair pair = connected();
  fill(pair.near);
  const procfs::Stream stream = found(pair.near);
  // Over many of the questions that the kernel asks it meanwhile.
  CHECK_FALSE(base::wait_until(base::system_clock(), Millis{2500}, step,
                               [&] { return procfs::is_stalled(stream, Millis{500}); }));
}

TEST_CASE("a link that is cut is told, and the sender that waits on it freed") {
  const bool ran = in_own_network([] {
    const Pair pair = connected();
    const procfs::Stream stream = found(pair.near);
    set_loopback(false);
    std::thread sender([&] {
      static const std::array<char, 65536> data{};
      while (::send(pair.near.get(), data.data(), data.size(), MSG_NOSIGNAL) > 0) {
      }
    });
    CHECK(base::wait_until(base::system_clock(), deadline, step,
                           [&] { return procfs::is_stalled(stream, Millis{1000}); }));
    procfs::cut(stream);
    sender.join();
  });
  if (!ran) WARN("not run: this user may not have a network of its own");
}

TEST_CASE("a host that falls silent is told though its connection is idle") {
  const bool ran = in_own_network([] {
    const Pair pair = connected();
    const procfs::Stream stream = found(pair.near);
    procfs::PeerProbe probe(stream);
    base::Clock& clock = base::system_clock();
    const auto is_silent = [&](Millis limit) {
      probe.look(clock.steady());
      return probe.is_silent(clock.steady(), limit);
    };
    CHECK_FALSE(base::wait_until(clock, Millis{1500}, step, [&] { return is_silent(Millis{500}); }));
    set_loopback(false);
    CHECK(base::wait_until(clock, deadline, step, [&] { return is_silent(Millis{1000}); }));
    CHECK_FALSE(procfs::is_stalled(stream, Millis{500}));  // to TCP it is merely idle
    set_loopback(true);
    CHECK(base::wait_until(clock, deadline, step, [&] { return !is_silent(Millis{1000}); }));
  });
  if (!ran) WARN("not run: this user may not have a network of its own");
}

TEST_CASE("a host that has never answered is not called silent") {
  const bool ran = in_own_network([] {
    const Pair pair = connected();
    procfs::PeerProbe probe(found(pair.near));
    base::Clock& clock = base::system_clock();
    set_loopback(false);
    CHECK_FALSE(base::wait_until(clock, Millis{1500}, step, [&] {
      probe.look(clock.steady());
      return probe.is_silent(clock.steady(), Millis{300});
    }));
  });
  if (!ran) WARN("not run: this user may not have a network of its own");
}

TEST_CASE("a QEMU is found by its uuid, and no other process is taken for it") {
  const model::Uuid vm("5b1e0a5c-9d4e-4f5e-8a3b-0123456789ab");
  CHECK_FALSE(procfs::qemu_of(vm));
  base::Child other = base::spawn({"sh", "-c", "read x; exit", "-uuid", vm.get()}, true, false);
  CHECK_FALSE(procfs::qemu_of(vm));
  base::Child qemu = base::spawn(
      {"qemu-system-x86_64", "-uuid", vm.get(), "-machine", "none", "-display", "none", "-S", "-nodefaults"}, true,
      false);
  REQUIRE(base::wait_until(base::system_clock(), deadline, step, [&] { return procfs::qemu_of(vm).has_value(); }));
  CHECK(procfs::qemu_of(vm) == qemu.pid());
  const procfs::Streams streams(qemu.pid());
  CHECK_FALSE(streams.has_ended());
  qemu.kill(SIGKILL);
  CHECK(qemu.wait() == 128 + SIGKILL);
  CHECK(streams.has_ended());
}
