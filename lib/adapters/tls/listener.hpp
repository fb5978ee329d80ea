// SPDX-License-Identifier: Apache-2.0
#pragma once
// Connections, each served by a process of its own: one that fails, or is made to fail, takes no other with it, and
// gives back all that it had. A client is a stranger until it has shown who it is: strangers take no seat of those that
// are served, and are put out after a while. Touches sockets and processes; knows neither TLS nor what is served.

#include <functional>

#include "adapters/tls/tls.hpp"

namespace umbra::tls {

/// A socket that listens: the one that systemd handed over (LISTEN_FDS), where there is one, else a new one. An empty
/// host, or *, is every address; port 0 is any that is free. Kind::usage where what was handed over does not listen.
base::UniqueFd listen_at(const Address& address);
/// "[::]:7900" of a socket.
std::string local_address(int socket);

struct Room {
  unsigned most = 8;                   ///< clients that are served at a time
  unsigned strangers = 32;             ///< connections at a time that have not shown who they are
  unsigned waiting = 64;               ///< clients that have, and wait for a seat
  base::Millis a_stranger_may{2'000};  ///< before it is put out for another, where there are too many
  base::Millis to_come_in{30'000};     ///< before it is put out in any case
  base::Millis for_a_seat{50'000};     ///< that a client waits
};

/// In a child: its way to ask the listener for a seat.
class Seat {
 public:
  Seat(base::UniqueFd listener, base::Millis wait) : m_listener(std::move(listener)), m_wait(wait) {}
  /// Of a client that may come in; waits until there is room. False where there is none in time.
  bool take(const base::CancelToken& cancel);

 private:
  base::UniqueFd m_listener;
  base::Millis m_wait;
};

/// Serves in a child; its result is the child's exit status. It must not return through main().
using Serve = std::function<int(base::UniqueFd socket, const std::string& peer, Seat seat)>;

/// Accepts connections until `cancel` is requested; then asks the children to end, waits for them, and returns. What
/// fails for want of descriptors or memory fails for that connection alone, or is tried again a moment later.
void serve_each(base::UniqueFd listener, const Room& room, const base::CancelToken& cancel, const Serve& serve);

}  // namespace umbra::tls
