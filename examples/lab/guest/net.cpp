// SPDX-License-Identifier: Apache-2.0
#include "net.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

Fd::~Fd() {
  if (m_fd >= 0) ::close(m_fd);
}

void check_call(long result, const std::string& what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
}

static sockaddr_in ipv4(const std::string& address, std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1)
    throw std::runtime_error("not an IPv4 address: " + address);
  return where;
}

static Fd bound(int type, std::uint16_t port) {
  Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  check_call(fd.get(), "socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto where = ipv4("0.0.0.0", port);
  check_call(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where),
             "bind to port " + std::to_string(port));
  return fd;
}

Fd listen_tcp(std::uint16_t port) {
  Fd fd = bound(SOCK_STREAM, port);
  check_call(::listen(fd.get(), 64), "listen");
  return fd;
}

Fd bind_udp(std::uint16_t port) {
  return bound(SOCK_DGRAM, port);
}

std::optional<Fd> connect_tcp(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit,
                              std::string& why) {
  const auto where = ipv4(address, port);
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  check_call(fd.get(), "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) < 0) {
    if (errno != EINPROGRESS) {
      why = std::strerror(errno);
      return std::nullopt;
    }
    if (!wait_for(fd.get(), POLLOUT, limit)) {
      why = "no answer";
      return std::nullopt;
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      why = std::strerror(error);
      return std::nullopt;
    }
  }
  return fd;
}

Fd connect_udp(const std::string& address, std::uint16_t port) {
  const auto where = ipv4(address, port);
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  check_call(fd.get(), "socket");
  check_call(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where), "connect");
  return fd;
}

bool wait_for(int fd, short events, std::chrono::milliseconds limit) {
  pollfd one{fd, events, 0};
  return ::poll(&one, 1, static_cast<int>(limit.count())) > 0;
}

bool send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const auto sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::optional<std::string> LineReader::next() {
  for (;;) {
    if (const auto end = m_pending.find('\n'); end != std::string::npos) {
      std::string line = m_pending.substr(0, end);
      m_pending.erase(0, end + 1);
      return line;
    }
    char buffer[512];
    const auto got = ::recv(m_fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || m_pending.size() > 4096) return std::nullopt;
    m_pending.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

std::string wall_clock(std::chrono::system_clock::time_point when) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  char text[48];
  std::snprintf(text, sizeof text, "%s.%03dZ", date, static_cast<int>(ms % 1000));
  return text;
}
