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

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <list>

#include "base/log.hpp"

namespace umbra::tls {
namespace {

using base::Error;
using base::Kind;

constexpr int first_handed_over = 3;  // where sd_listen_fds(3) says they begin
constexpr int queue = 64;
constexpr base::Millis time_to_end{10'000};
constexpr base::Millis pause_without_descriptors{200};

std::string numeric(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "somewhere";
  return Address{host.data(), port.data()}.to_string();
}

/// The socket of systemd's unit; nothing where there is none.
base::UniqueFd handed_over() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::to_string(::getpid()) != pid) return {};
  if (std::strcmp(count, "1") != 0)
    throw Error(Kind::usage, fmt::format("{} sockets were handed over, where one is served", count),
                "let the socket unit have one ListenStream=");
  ::fcntl(first_handed_over, F_SETFD, FD_CLOEXEC);
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  return base::UniqueFd(first_handed_over);
}

base::UniqueFd bind_one(const addrinfo& to, int& error) {
  base::UniqueFd socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr int on = 1;
  if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (socket && ::bind(socket.get(), to.ai_addr, to.ai_addrlen) == 0 && ::listen(socket.get(), queue) == 0)
    return socket;
  error = errno;
  return {};
}

/// One connection's process. The descriptor becomes readable when it ends.
struct Served {
  pid_t pid = -1;
  base::UniqueFd ended;
  std::string peer;
};

class Serving {
 public:
  Serving(int listener, unsigned most, const base::CancelToken& cancel, const Serve& serve)
      : m_listener(listener), m_most(most), m_cancel(cancel), m_serve(serve) {
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
      if (wait(nullptr)) accept_one();
      reap();
    }
  }

 private:
  /// True where a connection waits and there is room for it.
  bool wait(const timespec* most) {
    std::vector<pollfd> fds;
    for (const Served& one : m_served) fds.push_back({one.ended.get(), POLLIN, 0});
    const bool room = m_served.size() < m_most && !m_closed;
    if (room) fds.push_back({m_listener, POLLIN, 0});
    const int ready = ::ppoll(fds.data(), fds.size(), most, &m_before);
    if (ready < 0 && errno != EINTR) throw base::from_errno(errno, "poll");
    return ready > 0 && room && fds.back().revents != 0;
  }

  void accept_one() {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    base::UniqueFd socket(
        ::accept4(m_listener, reinterpret_cast<sockaddr*>(&from), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      // Of a connection that is gone already, or for want of descriptors: the others go on.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        base::system_clock().pause(pause_without_descriptors);
      return;
    }
    begin(std::move(socket), numeric(from, size));
  }

  void begin(base::UniqueFd socket, const std::string& peer) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) {
      base::log(base::Level::warning, fmt::format("{}: {}", peer, base::from_errno(errno, "fork").what()));
      return;
    }
    if (pid == 0) serve_and_exit(parent, std::move(socket), peer);
    Served served{pid, base::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), peer};
    if (!served.ended) throw base::from_errno(errno, "watch a process");
    ::fcntl(served.ended.get(), F_SETFD, FD_CLOEXEC);
    m_served.push_back(std::move(served));
  }

  [[noreturn]] void serve_and_exit(pid_t parent, base::UniqueFd socket, const std::string& peer) noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // no child outlives a listener that is killed
    if (::getppid() != parent) ::_exit(1);
    ::close(m_listener);
    for (Served& other : m_served) other.ended.reset();
    ::sigprocmask(SIG_SETMASK, &m_before, nullptr);
    int status = 1;
    try {
      status = m_serve(std::move(socket), peer);
    } catch (const std::exception& e) {
      base::log(base::Level::error, fmt::format("{}: {}", peer, e.what()));
    }
    ::_exit(status);
  }

  void reap() {
    std::erase_if(m_served, [](const Served& one) {
      int raw = 0;
      if (::waitpid(one.pid, &raw, WNOHANG) != one.pid) return false;
      if (WIFSIGNALED(raw))
        base::log(base::Level::warning, fmt::format("{}: its process was ended by signal {}", one.peer, WTERMSIG(raw)));
      return true;
    });
  }

  void end_all() noexcept {
    m_closed = true;
    for (const Served& one : m_served) ::kill(one.pid, SIGTERM);
    const base::Millis end = base::system_clock().steady() + time_to_end;
    try {
      while (!m_served.empty() && base::system_clock().steady() < end) {
        const timespec slice{1, 0};
        wait(&slice);
        reap();
      }
      for (const Served& one : m_served) ::kill(one.pid, SIGKILL);
      for (const Served& one : m_served) ::waitpid(one.pid, nullptr, 0);
    } catch (const std::exception& e) {
      base::log(base::Level::warning, e.what());
    }
  }

  int m_listener;
  unsigned m_most;
  const base::CancelToken& m_cancel;
  const Serve& m_serve;
  std::list<Served> m_served;
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
  return numeric(address, size);
}

base::UniqueFd listen_at(const Address& address) {
  if (base::UniqueFd socket = handed_over()) return socket;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const bool any = address.host.empty() || address.host == "*";
  const int unresolved = ::getaddrinfo(any ? "::" : address.host.c_str(), address.port.c_str(), &wanted, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  if (unresolved != 0)
    throw Error(Kind::usage,
                fmt::format("{} is no address of this machine: {}", address.host, ::gai_strerror(unresolved)),
                "see which there are: ip address");
  int error = EADDRNOTAVAIL;
  for (const addrinfo* to = list; to != nullptr; to = to->ai_next) {
    if (base::UniqueFd socket = bind_one(*to, error)) return socket;
  }
  throw base::from_errno(error, fmt::format("listen at {}", address.to_string()))
      .set_hint("see who has it: ss -ltnp; which addresses there are: ip address");
}

void serve_each(base::UniqueFd listener, unsigned most, const base::CancelToken& cancel, const Serve& serve) {
  // A connection that goes away between poll and accept must not hold this up.
  const int flags = ::fcntl(listener.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    throw base::from_errno(errno, "set up a socket");
  Serving(listener.get(), most, cancel, serve).run();
}

}  // namespace umbra::tls
