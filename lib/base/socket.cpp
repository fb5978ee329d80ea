// SPDX-License-Identifier: Apache-2.0
#include "base/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace umbra::base {

void notice_a_dead_link(int socket) noexcept {
  constexpr int on = 1;
  constexpr int seconds_idle = 5;
  constexpr int seconds_between = 5;
  constexpr int probes = 4;
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &seconds_idle, sizeof seconds_idle);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &seconds_between, sizeof seconds_between);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  // Where a request is under way that nobody confirms, no probe is sent: that has a limit of its own.
  constexpr unsigned unconfirmed_ms = 25'000;
  ::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unconfirmed_ms, sizeof unconfirmed_ms);
}

}  // namespace umbra::base
