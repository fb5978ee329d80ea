// SPDX-License-Identifier: Apache-2.0
// The listener as a process of its own, and clients by plain sockets: a byte stands for what a handshake would show.

#include "adapters/tls/listener.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <list>
#include <thread>

#include "base/log.hpp"
#include "fakes/lesser_kernel.hpp"
#include "fakes/thrown.hpp"

using namespace umbra;
using base::Millis;

namespace {

base::CancelToken& stopped() {
  static base::CancelToken token;
  return token;
}

/// The next byte; nothing where the other side hung up, or says nothing for long.
std::optional<char> hear(int socket, const base::CancelToken* cancel = nullptr) {
  char byte = 0;
  const bool said = base::ready_within(socket, POLLIN, Millis{20'000}, cancel);
  if (!said || ::recv(socket, &byte, 1, MSG_DONTWAIT) != 1) return std::nullopt;
  return byte;
}

void say(int socket, char byte) {
  ::send(socket, &byte, 1, MSG_NOSIGNAL);
}

/// A client that says 'k' is known. It hears 'S' when it is served, until it hangs up, or 'B' where there was no room.
int serve(base::UniqueFd socket, const std::string&, tls::Seat seat) {
  if (hear(socket.get(), &stopped()) != 'k') return 1;
  const bool room = seat.take(stopped());
  say(socket.get(), room ? 'S' : 'B');
  if (room) hear(socket.get(), &stopped());
  return 0;
}

class Listening {
 public:
  explicit Listening(
      const tls::Room& room, const std::function<void()>& before = [] {}) {
    base::UniqueFd socket = tls::listen_at({"127.0.0.1", "0"});
    m_address = base::parse_address(tls::local_address(socket.get()));
    m_pid = test::in_a_process([&] {
      struct sigaction action {};
      action.sa_handler = [](int number) { stopped().request(number); };
      ::sigaction(SIGTERM, &action, nullptr);
      before();
      tls::serve_each(std::move(socket), room, stopped(), serve);
      return 0;
    });
  }
  ~Listening() {
    ::kill(m_pid, SIGTERM);
    CHECK(test::status_of(m_pid) == 0);
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  base::UniqueFd client() const {
    base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(m_address.port)));
    REQUIRE(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    return socket;
  }
  base::UniqueFd known() const {
    base::UniqueFd socket = client();
    say(socket.get(), 'k');
    return socket;
  }

 private:
  tls::Address m_address;
  pid_t m_pid = -1;
};

}  // namespace

TEST_CASE("strangers take no seat, however many, and a client that shows who it is comes in past them") {
  const Listening listening({.most = 1, .strangers = 4, .a_stranger_may = Millis{50}});
  std::list<base::UniqueFd> silent;
  for (int i = 0; i < 12; ++i) silent.push_back(listening.client());
  const base::UniqueFd known = listening.known();
  CHECK(hear(known.get()) == 'S');
}

TEST_CASE("a stranger that stays one is put out") {
  const Listening listening({.to_come_in = Millis{100}});
  const base::UniqueFd silent = listening.client();
  CHECK_FALSE(hear(silent.get()));
}

TEST_CASE("a client waits for a seat, and is told where none becomes free in time") {
  const Listening listening({.most = 1, .for_a_seat = Millis{300}});
  base::UniqueFd first = listening.known();
  REQUIRE(hear(first.get()) == 'S');
  const base::UniqueFd second = listening.known();
  CHECK(hear(second.get()) == 'B');
  const base::UniqueFd third = listening.known();
  first.reset();
  CHECK(hear(third.get()) == 'S');
}

TEST_CASE("more who wait than there may are told at once") {
  const Listening listening({.most = 1, .waiting = 0, .for_a_seat = Millis{60'000}});
  const base::UniqueFd first = listening.known();
  REQUIRE(hear(first.get()) == 'S');
  const base::UniqueFd second = listening.known();
  CHECK(hear(second.get()) == 'B');
}

TEST_CASE("a listener that runs out of descriptors goes on once there are some") {
  const rlim_t most = GENERATE(8u, 9u, 10u, 11u, 12u, 13u);  // it fails at each of what it opens
  const Listening listening({}, [most] {
    for (int fd = 3; fd < 256; ++fd) {
      int listens = 0;
      socklen_t size = sizeof listens;
      if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) ::close(fd);
    }
    const rlimit few{most, most};
    ::setrlimit(RLIMIT_NOFILE, &few);
  });
  std::list<base::UniqueFd> many;
  for (int i = 0; i < 8; ++i) many.push_back(listening.client());
  many.clear();
  const auto served = [&] {
    const base::UniqueFd known = listening.known();
    return hear(known.get()) == 'S';
  };
  CHECK(base::wait_until(base::system_clock(), Millis{20'000}, Millis{50}, served));
}

TEST_CASE("a descriptor that was handed over and does not listen is refused") {
  const auto handed = [](int type) {
    return test::status_in_a_process([type] {
      ::dup2(::socket(AF_UNIX, type, 0), 3);
      ::setenv("LISTEN_FDS", "1", 1);
      ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
      try {
        tls::listen_at({"*", "0"});
      } catch (const base::Error& e) {
        return e.kind() == base::Kind::usage ? 7 : 1;
      }
      return 0;
    });
  };
  CHECK(handed(SOCK_STREAM) == 7);
  CHECK(handed(SOCK_DGRAM) == 7);
}

TEST_CASE("every address is that of IPv4 where the machine has no other") {
  CHECK(test::status_in_a_process([] {
          test::do_without(SYS_socket, EAFNOSUPPORT, AF_INET6);
          const base::UniqueFd socket = tls::listen_at({"*", "0"});
          return tls::local_address(socket.get()).starts_with("0.0.0.0:") ? 0 : 1;
        }) == 0);
}

TEST_CASE("a side that never has to wait hears of a request to stop all the same") {
  std::string path = "/tmp/umbra-key-XXXXXX";
  base::UniqueFd file(::mkstemp(path.data()));
  base::write_all(file.get(), std::string_view("web:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\n"), path);
  const model::TlsFiles files{.key_file = path};
  const base::UniqueFd socket = tls::listen_at({"127.0.0.1", "0"});
  const tls::Address address = base::parse_address(tls::local_address(socket.get()));
  const std::vector<std::byte> data(64u << 10, std::byte{1});
  std::unique_ptr<base::Line> client;
  std::thread connecting([&] {
    client = tls::connect(address, files, {}, nullptr);
    client->write_all(data);
  });
  base::CancelToken cancel;
  const tls::Client served =
      tls::accept(base::UniqueFd(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)), files, {}, {}, &cancel);
  connecting.join();
  std::vector<std::byte> piece(1024);
  CHECK(served.line->read_full(piece) == piece.size());
  cancel.request(SIGTERM);
  CHECK(test::kind_of([&] { served.line->read_full(piece); }) == base::Kind::cancelled);
  ::unlink(path.c_str());
}
