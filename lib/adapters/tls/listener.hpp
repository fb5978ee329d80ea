// SPDX-License-Identifier: Apache-2.0
#pragma once
// Connections, each served by a process of its own: one that fails, or is made to fail, takes no other with it, and
// gives back all that it had. Touches sockets and processes; knows neither TLS nor what is served.

#include <functional>

#include "adapters/tls/tls.hpp"

namespace umbra::tls {

/// A socket that listens: the one that systemd handed over (LISTEN_FDS), where there is one, else a new one. An empty
/// host, or *, is every address; port 0 is any that is free.
base::UniqueFd listen_at(const Address& address);
/// "[::]:7900" of a socket.
std::string local_address(int socket);

/// Serves in a child; its result is the child's exit status. It must not return through main().
using Serve = std::function<int(base::UniqueFd socket, const std::string& peer)>;

/// Accepts connections, at most `most` at a time, until `cancel` is requested; then asks the children to end, waits for
/// them, and returns. Those in excess wait in the kernel's queue.
void serve_each(base::UniqueFd listener, unsigned most, const base::CancelToken& cancel, const Serve& serve);

}  // namespace umbra::tls
