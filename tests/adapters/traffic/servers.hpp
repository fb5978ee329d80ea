// SPDX-License-Identifier: Apache-2.0
#pragma once
// Servers on this machine: a socket that listens, python3's web server.

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/process.hpp"
#include "folder.hpp"

namespace umbra::test {

/// Takes connections on 127.0.0.1, and says nothing.
class Listener {
 public:
  Listener() : Listener(0) {}
  /// At the port of "127.0.0.1:PORT".
  explicit Listener(const std::string& address) : Listener(std::stoi(address.substr(address.find(':') + 1))) {}

  std::string address() const {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(m_socket.get(), reinterpret_cast<sockaddr*>(&at), &size);
    return "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  std::string port() const { return address().substr(address().find(':') + 1); }

  /// Those that were made since the last call.
  int connections() const {
    int count = 0;
    while (base::UniqueFd(::accept(m_socket.get(), nullptr, nullptr))) ++count;
    return count;
  }

 private:
  explicit Listener(int port) : m_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const int on = 1;
    ::setsockopt(m_socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool listens =
        ::bind(m_socket.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(m_socket.get(), 16) == 0;
    if (!listens) throw base::from_errno(errno, "listen");
  }

  base::UniqueFd m_socket;
};

/// Serves a folder of its own, with one page that says `word`.
class WebServer {
 public:
  explicit WebServer(const std::string& word = "hello") : m_port(Listener().port()) {
    std::ofstream(m_folder.path / "index.html") << word;
    // Its log is of no use here.
    m_server =
        base::spawn({"sh", "-c", "exec python3 -m http.server \"$0\" --bind 127.0.0.1 --directory \"$1\" 2>/dev/null",
                     m_port, m_folder.path.string()},
                    false, true);
    const bool up = base::wait_until(base::system_clock(), base::Millis{20'000}, base::Millis{20}, [&] {
      const base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(m_port)));
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    });
    if (!up) throw base::Error(base::Kind::timeout, "python3's web server does not come up");
  }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + m_port + path; }
  std::string address() const { return "127.0.0.1:" + m_port; }

 private:
  Folder m_folder;
  std::string m_port;
  base::Child m_server;
};

}  // namespace umbra::test
