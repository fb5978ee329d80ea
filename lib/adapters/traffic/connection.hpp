// SPDX-License-Identifier: Apache-2.0
#pragma once
// Connections by libcurl, which looks names up within the deadline too. Inside this folder only.

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace umbra::traffic {

/// libcurl's handle; made ready once per process.
struct CurlCleanup {
  void operator()(void* curl) const noexcept;
};
using CurlHandle = std::unique_ptr<void, CurlCleanup>;
CurlHandle make_curl();

/// A plain connection to a socket's path or to HOST:PORT. Everything throws Kind::unreachable or, past the deadline,
/// timeout, with the address named.
class Connection {
 public:
  Connection(std::string address, base::Millis deadline);
  void send(std::string_view text);
  /// What comes until the other side closes; Kind::invalid beyond 4 MiB.
  std::string read_to_end();

 private:
  void wait_for(short events);
  [[noreturn]] void fail(int code, std::string_view what) const;

  std::string m_address;
  base::Millis m_end;
  CurlHandle m_curl;
  int m_socket = -1;  ///< the handle's
};

}  // namespace umbra::traffic
