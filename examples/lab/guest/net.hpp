// SPDX-License-Identifier: Apache-2.0
// Small owners and helpers for the lab's guest program: file descriptors, TCP, clocks. Linux only, no dependencies.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : m_fd(fd) {}
  Fd(Fd&& other) noexcept : m_fd(std::exchange(other.m_fd, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(m_fd, other.m_fd);
    return *this;
  }
  ~Fd();
  int get() const { return m_fd; }
  explicit operator bool() const { return m_fd >= 0; }

 private:
  int m_fd = -1;
};

// Throws std::system_error when the last system call failed.
void check_call(long result, const std::string& what);

Fd listen_tcp(std::uint16_t port);
Fd bind_udp(std::uint16_t port);
// A connected, non-blocking TCP socket without Nagle's delay; absent (with `why` set) when that fails within the limit.
std::optional<Fd> connect_tcp(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit,
                              std::string& why);
Fd connect_udp(const std::string& address, std::uint16_t port);

// Waits for `events`; false when the time is up or a signal came.
bool wait_for(int fd, short events, std::chrono::milliseconds limit);
// Sends all of it on a blocking socket; false when the peer is gone.
bool send_all(int fd, std::string_view data);

// Reads newline-ended lines from a blocking socket.
class LineReader {
 public:
  explicit LineReader(int fd) : m_fd(fd) {}
  std::optional<std::string> next();

 private:
  int m_fd;
  std::string m_pending;
};

std::string quoted(std::string_view text);                           // a JSON string
std::string wall_clock(std::chrono::system_clock::time_point when);  // RFC 3339, UTC, milliseconds
