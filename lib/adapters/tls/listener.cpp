// SPDX-License-Identifier: Apache-2.0
#include "adapters/tls/listener.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <optional>

#include "base/log.hpp"

namespace umbra::tls {
namespace {

using base::Error;
using base::Kind;

constexpr int first_handed_over = 3;  // where sd_listen_fds(3) says they begin
constexpr int queue = 64;
constexpr base::Millis time_to_end{10'000};
constexpr base::Millis pause_without_descriptors{200};
constexpr char asks = '?';
constexpr char has_seat = '+';
constexpr char no_seat = '-';

Address numeric(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {"somewhere", "0"};
  return {host.data(), port.data()};
}

/// The socket of systemd's unit; nothing where there is none.
base::UniqueFd handed_over() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::to_string(::getpid()) != pid) return {};
  if (std::strcmp(count, "1") != 0)
    throw Error(Kind::usage, fmt::format("{} sockets were handed over, where one is served", count),
                "let the socket unit have one ListenStream=");
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(first_handed_over, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
    throw Error(Kind::usage, "the descriptor that was handed over is no socket that listens",
                "let the socket unit have ListenStream=, and Accept=no");
  ::fcntl(first_handed_over, F_SETFD, FD_CLOEXEC);
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  return base::UniqueFd(first_handed_over);
}

base::UniqueFd bind_one(const addrinfo& to, int& error) {
  base::UniqueFd socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr int on = 1;
  constexpr int off = 0;
  if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (socket && to.ai_family == AF_INET6)  // whatever the machine's habit is: every address is every one
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (socket && ::bind(socket.get(), to.ai_addr, to.ai_addrlen) == 0 && ::listen(socket.get(), queue) == 0)
    return socket;
  error = errno;
  return {};
}

/// Nothing, and why, where the machine has no such address, or it is taken.
base::UniqueFd listen_on(const std::string& host, const std::string& port, int& error) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int unresolved = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  if (unresolved != 0)
    throw Error(Kind::usage, fmt::format("{} is no address of this machine: {}", host, ::gai_strerror(unresolved)),
                "see which there are: ip address");
  for (const addrinfo* to = list; to != nullptr; to = to->ai_next) {
    if (base::UniqueFd socket = bind_one(*to, error)) return socket;
  }
  return {};
}

enum class Stage : char {
  stranger,  ///< it has not shown who it is
  waiting,   ///< it has, and there is no seat
  served,
  refused  ///< there was not even room to wait
};

/// One connection's process.
struct Connected {
  pid_t pid = -1;
  base::UniqueFd ended;   ///< readable when it has
  base::UniqueFd asking;  ///< where it asks for a seat, and hears of it
  std::string peer;
  std::string address;  ///< of it, without the port
  Stage stage = Stage::stranger;
  base::Millis since{};  ///< on the steady clock
  bool put_out = false;
};

class Serving {
 public:
  Serving(int listener, const Room& room, const base::CancelToken& cancel, const Serve& serve)
      : m_listener(listener), m_room(room), m_cancel(cancel), m_serve(serve) {
    sigemptyset(&m_stopping);
    for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&m_stopping, s);
    ::sigprocmask(SIG_BLOCK, &m_stopping, &m_before);  // they come while this waits, and at no other time
  }
  ~Serving() {
    end_all();
    ::sigprocmask(SIG_SETMASK, &m_before, nullptr);
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  void run() {
    while (!m_cancel.requested()) {
      put_out_the_slow();
      if (wait(until_next())) accept_one();
      hear_requests();
      reap();
      give_seats();
    }
  }

 private:
  static base::Millis now() { return base::system_clock().steady(); }
  std::size_t count(Stage stage) const {
    return static_cast<std::size_t>(std::ranges::count(m_clients, stage, &Connected::stage));
  }
  bool takes_connections() const {
    return !m_closed && now() >= m_not_before && count(Stage::stranger) < m_room.strangers;
  }

  /// True where a connection waits and may be taken.
  bool wait(std::optional<base::Millis> most) {
    std::vector<pollfd> fds;
    for (const Connected& one : m_clients) {
      fds.push_back({one.ended.get(), POLLIN, 0});
      if (one.stage == Stage::stranger) fds.push_back({one.asking.get(), POLLIN, 0});
    }
    const bool takes = takes_connections();
    if (takes) fds.push_back({m_listener, POLLIN, 0});
    const base::Millis left = std::max(most.value_or(base::Millis{0}), base::Millis{0});
    const timespec slice{left.count() / 1000, left.count() % 1000 * 1'000'000};
    const int ready = ::ppoll(fds.data(), fds.size(), most ? &slice : nullptr, &m_before);
    if (ready < 0 && errno != EINTR) throw base::from_errno(errno, "poll");
    return ready > 0 && takes && fds.back().revents != 0;
  }

  /// How long nothing is to be done unless somebody says something; nothing: for ever.
  std::optional<base::Millis> until_next() const {
    std::optional<base::Millis> next;
    const auto at = [&](base::Millis when) { next = std::min(next.value_or(when), when); };
    const bool full = count(Stage::stranger) >= m_room.strangers;
    for (const Connected& one : m_clients) {
      if (one.stage == Stage::stranger && !one.put_out)
        at(one.since + (full ? m_room.a_stranger_may : m_room.to_come_in));
    }
    if (m_not_before > now()) at(m_not_before);
    if (!next) return std::nullopt;
    return *next - now() + base::Millis{1};
  }

  /// Strangers who take too long; where there are too many, the oldest of the address that has most of them.
  void put_out_the_slow() {
    std::map<std::string, unsigned> of_address;
    for (const Connected& one : m_clients)
      of_address[one.address] += one.stage == Stage::stranger && !one.put_out ? 1 : 0;
    Connected* worst = nullptr;
    for (Connected& one : m_clients) {  // the oldest come first
      if (one.stage != Stage::stranger || one.put_out) continue;
      if (now() - one.since >= m_room.to_come_in) put_out(one);
      const bool slow = !one.put_out && now() - one.since >= m_room.a_stranger_may;
      if (slow && (worst == nullptr || of_address[one.address] > of_address[worst->address])) worst = &one;
    }
    if (worst != nullptr && count(Stage::stranger) >= m_room.strangers) put_out(*worst);
  }

  static void put_out(Connected& one) {
    base::log(base::Level::warning, fmt::format("{}: put out: it has not shown who it is after {}", one.peer,
                                                base::to_human(now() - one.since)));
    ::kill(one.pid, SIGKILL);
    one.put_out = true;
  }

  void accept_one() {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    base::UniqueFd socket(
        ::accept4(m_listener, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      // Of a connection that is gone already, or for want of descriptors: the others go on.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause();
      return;
    }
    const Address peer = numeric(from, size);
    try {
      begin(std::move(socket), peer);
    } catch (const Error& e) {
      base::log(base::Level::warning, fmt::format("{}: {}", peer.to_string(), e.what()));
      pause();
    }
  }

  void pause() { m_not_before = now() + pause_without_descriptors; }

  void begin(base::UniqueFd socket, const Address& peer) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw base::from_errno(errno, "make a way to a process");
    base::UniqueFd ours(ends[0]);
    base::UniqueFd theirs(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw base::from_errno(errno, "fork");
    if (pid == 0) {
      ours.reset();
      serve_and_exit(parent, std::move(socket), peer.to_string(), std::move(theirs));
    }
    Connected client{pid,
                     base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                     std::move(ours),
                     peer.to_string(),
                     peer.host,
                     Stage::stranger,
                     now()};
    if (!client.ended) {
      const int error = errno;
      ::kill(pid, SIGKILL);  // nobody would hear of its end
      ::waitpid(pid, nullptr, 0);
      throw base::from_errno(error, "watch a process");
    }
    ::fcntl(client.ended.get(), F_SETFD, FD_CLOEXEC);
    m_clients.push_back(std::move(client));
  }

  [[noreturn]] void serve_and_exit(pid_t parent, base::UniqueFd socket, const std::string& peer,
                                   base::UniqueFd asking) noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // no child outlives a listener that is killed
    if (::getppid() != parent) ::_exit(1);
    ::close(m_listener);
    m_clients.clear();
    ::sigprocmask(SIG_SETMASK, &m_before, nullptr);
    int status = 1;
    try {
      status = m_serve(std::move(socket), peer, Seat(std::move(asking), m_room.for_a_seat));
    } catch (const std::exception& e) {
      base::log(base::Level::error, fmt::format("{}: {}", peer, e.what()));
    }
    ::_exit(status);
  }

  void hear_requests() {
    for (Connected& one : m_clients) {
      char asked = 0;
      if (one.stage != Stage::stranger || ::recv(one.asking.get(), &asked, 1, MSG_DONTWAIT) != 1) continue;
      const bool room = count(Stage::served) < m_room.most || count(Stage::waiting) < m_room.waiting;
      one.stage = room ? Stage::waiting : Stage::refused;
      if (!room) answer(one, no_seat);
    }
  }

  /// Those who came first.
  void give_seats() {
    for (Connected& one : m_clients) {
      if (one.stage != Stage::waiting || count(Stage::served) >= m_room.most) continue;
      one.stage = Stage::served;
      answer(one, has_seat);
    }
  }

  static void answer(const Connected& one, char word) {
    ::send(one.asking.get(), &word, 1, MSG_NOSIGNAL);  // one that is gone is reaped
  }

  void reap() {
    std::erase_if(m_clients, [](const Connected& one) {
      int raw = 0;
      if (::waitpid(one.pid, &raw, WNOHANG) != one.pid) return false;
      if (WIFSIGNALED(raw) && !one.put_out)
        base::log(base::Level::warning, fmt::format("{}: its process was ended by signal {}", one.peer, WTERMSIG(raw)));
      return true;
    });
  }

  void end_all() noexcept {
    m_closed = true;
    for (const Connected& one : m_clients) ::kill(one.pid, SIGTERM);
    const base::Millis end = now() + time_to_end;
    try {
      while (!m_clients.empty() && now() < end) {
        wait(end - now());
        for (Connected& one : m_clients) one.stage = Stage::served;  // whatever they still ask for
        reap();
      }
      for (const Connected& one : m_clients) ::kill(one.pid, SIGKILL);
      for (const Connected& one : m_clients) ::waitpid(one.pid, nullptr, 0);
    } catch (const std::exception& e) {
      base::log(base::Level::warning, e.what());
    }
  }

  int m_listener;
  const Room& m_room;
  const base::CancelToken& m_cancel;
  const Serve& m_serve;
  std::list<Connected> m_clients;
  base::Millis m_not_before{};  ///< for want of descriptors, no connection is taken before
  sigset_t m_stopping{};
  sigset_t m_before{};
  bool m_closed = false;
};

}  // namespace

std::string local_address(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw base::from_errno(errno, "ask for a socket's address");
  return numeric(address, size).to_string();
}

base::UniqueFd listen_at(const Address& address) {
  if (base::UniqueFd socket = handed_over()) return socket;
  int error = EADDRNOTAVAIL;
  const bool any = address.host.empty() || address.host == "*";
  if (base::UniqueFd socket = listen_on(any ? "::" : address.host, address.port, error)) return socket;
  const bool without_ipv6 = error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
  if (any && without_ipv6) {
    if (base::UniqueFd socket = listen_on("0.0.0.0", address.port, error)) return socket;
  }
  throw base::from_errno(error, fmt::format("listen at {}", address.to_string()))
      .set_hint("see who has it: ss -ltnp; which addresses there are: ip address");
}

bool Seat::take(const base::CancelToken& cancel) {
  char word = asks;
  if (::send(m_listener.get(), &word, 1, MSG_NOSIGNAL) != 1) return false;
  return base::ready_within(m_listener.get(), POLLIN, m_wait, &cancel) &&
         ::recv(m_listener.get(), &word, 1, MSG_DONTWAIT) == 1 && word == has_seat;
}

void serve_each(base::UniqueFd listener, const Room& room, const base::CancelToken& cancel, const Serve& serve) {
  // A connection that goes away between poll and accept must not hold this up.
  const int flags = ::fcntl(listener.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    throw base::from_errno(errno, "set up a socket");
  Serving(listener.get(), room, cancel, serve).run();
}

}  // namespace umbra::tls
