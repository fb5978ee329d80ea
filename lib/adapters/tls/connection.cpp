// SPDX-License-Identifier: Apache-2.0
// One connection: the handshake, then bytes. The socket does not block; every wait ends by its deadline or by a signal.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "adapters/tls/openssl.hpp"
#include "adapters/tls/tls.hpp"
#include "base/socket.hpp"

namespace umbra::tls {
namespace {

using base::Error;
using base::Kind;

constexpr base::Millis longest_look{500};  // between two looks at the request to stop
constexpr base::Millis last_words_wait{1000};

/// Waits on a socket until a deadline.
class Waiter {
 public:
  Waiter(int socket, base::Millis most, const base::CancelToken* cancel)
      : m_socket(socket), m_cancel(cancel), m_end(base::system_clock().steady() + most), m_endless(most.count() <= 0) {}

  /// False where the deadline has passed.
  bool wait(short events) const {
    for (;;) {
      if (m_cancel != nullptr) m_cancel->check();
      const base::Millis left = m_end - base::system_clock().steady();
      if (!m_endless && left.count() <= 0) return false;
      const base::Millis slice = m_endless ? longest_look : std::min(left, longest_look);
      pollfd fd{m_socket, events, 0};
      const int ready = ::poll(&fd, 1, static_cast<int>(slice.count()));
      if (ready < 0 && errno != EINTR) throw base::from_errno(errno, "poll");
      if (ready > 0) return true;
    }
  }

 private:
  int m_socket;
  const base::CancelToken* m_cancel;
  base::Millis m_end;
  bool m_endless;
};

/// What a call of OpenSSL waits for; nothing where it failed, or ended.
std::optional<short> waits_for(SSL* connection, int result) {
  switch (SSL_get_error(connection, result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    default:
      return std::nullopt;
  }
}

class TlsLine final : public base::Line {
 public:
  TlsLine(std::unique_ptr<Context> context, ConnectionHandle connection, base::UniqueFd socket, Role role,
          base::Millis idle, const base::CancelToken* cancel)
      : m_context(std::move(context)),
        m_socket(std::move(socket)),
        m_connection(std::move(connection)),
        m_role(role),
        m_idle(idle),
        m_cancel(cancel) {}

  std::size_t read_full(std::span<std::byte> buffer) override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const std::size_t n = read_some(buffer.subspan(done));
      if (n == 0) break;
      done += n;
    }
    return done;
  }

  void write_all(std::span<const std::byte> data) override {
    while (!data.empty()) {
      std::size_t written = 0;
      ERR_clear_error();
      const int result = SSL_write_ex(m_connection.get(), data.data(), data.size(), &written);
      if (result == 1)
        data = data.subspan(written);
      else if (const auto events = waits_for(m_connection.get(), result))
        wait(*events);
      else
        throw hung_up_while_writing();
    }
  }

  bool ready() const override {
    std::byte next{};
    std::size_t n = 0;
    ERR_clear_error();
    const int result = SSL_peek_ex(m_connection.get(), &next, 1, &n);
    return result == 1 || !waits_for(m_connection.get(), result);
  }

  void end() noexcept override {
    if (std::exchange(m_ended, true)) return;
    ERR_clear_error();
    if (!m_broken) SSL_shutdown(m_connection.get());  // the other side then knows that nothing was cut off
    ERR_clear_error();
    ::shutdown(m_socket.get(), SHUT_WR);
  }

 private:
  std::size_t read_some(std::span<std::byte> buffer) {
    for (;;) {
      std::size_t n = 0;
      ERR_clear_error();
      const int result = SSL_read_ex(m_connection.get(), buffer.data(), buffer.size(), &n);
      if (result == 1) return n;
      if (const auto events = waits_for(m_connection.get(), result)) {
        wait(*events);
        continue;
      }
      if (SSL_get_error(m_connection.get(), result) == SSL_ERROR_ZERO_RETURN) return 0;
      throw failure();
    }
  }

  void wait(short events) const {
    if (Waiter(m_socket.get(), m_idle, m_cancel).wait(events)) return;
    throw Error(Kind::timeout, fmt::format("the other side was silent for {}", base::to_human(m_idle)));
  }

  /// A refusal by the other side comes only now where the handshake ended for this side first.
  Error failure() {
    m_broken = true;
    const unsigned long error = ERR_peek_error();
    const bool refused = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET;
    std::string words = why_refused(m_connection.get(), m_role);
    if (!refused) return {Kind::unreachable, fmt::format("the connection was cut: {}", words)};
    if (const std::string own = own_problem(m_connection.get()); !own.empty())
      words += fmt::format(" ({}: {})", m_context->own_certificate, own);
    return {Kind::refused, "the other side does not accept this one: " + words,
            "look at what `umbra receive --listen` says over there"};
  }

  /// Its reason may have come before it hung up.
  Error hung_up_while_writing() {
    Error error = failure();
    if (error.kind() == Kind::refused) return error;
    try {
      std::array<std::byte, 4096> unread{};
      while (read_some(unread) > 0) {
      }
    } catch (const Error& reason) {
      if (reason.kind() == Kind::refused) return reason;
    }
    return error;
  }

  std::unique_ptr<Context> m_context;
  base::UniqueFd m_socket;
  ConnectionHandle m_connection;  // goes before its socket
  Role m_role;
  base::Millis m_idle;
  const base::CancelToken* m_cancel;
  bool m_ended = false;
  bool m_broken = false;
};

ConnectionHandle over(const Context& context, int socket) {
  ERR_clear_error();
  ConnectionHandle connection(SSL_new(context.handle.get()));
  if (!connection || SSL_set_fd(connection.get(), socket) != 1) fail("set up TLS");
  return connection;
}

/// What is told is kept for a moment in which the other side can read it: a socket that is closed with bytes unread
/// takes what was sent back.
void let_read(int socket) {
  ::shutdown(socket, SHUT_WR);
  const Waiter waiter(socket, last_words_wait, nullptr);
  std::array<std::byte, 4096> unread{};
  for (int pieces = 0; pieces < 64 && waiter.wait(POLLIN); ++pieces) {
    if (::recv(socket, unread.data(), unread.size(), MSG_DONTWAIT) <= 0) return;
  }
}

void shake_hands(SSL* connection, int socket, Role role, const Timing& timing, const base::CancelToken* cancel) {
  const Waiter waiter(socket, timing.handshake, cancel);
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(connection);
    if (result == 1) return;
    if (const auto events = waits_for(connection, result)) {
      if (waiter.wait(*events)) continue;
      throw Error(
          Kind::timeout, fmt::format("no handshake came within {}", base::to_human(timing.handshake)),
          role == Role::client ? "the far end may be busy with as many connections as it takes, or be no Umbra" : "");
    }
    const std::string why = why_refused(connection, role);
    if (role == Role::server) let_read(socket);
    throw Error(Kind::refused, why,
                role == Role::client ? "look at both ends' certificates: openssl x509 -in FILE -noout -text" : "");
  }
}

/// With a key, nothing but the key will do.
void require_key(SSL* connection, const Context& context) {
  if (!context.keys.empty() && SSL_session_reused(connection) != 1)
    throw Error(Kind::refused, "the other side did not show that it has the key");
}

void expect_name(SSL* connection, const std::string& host) {
  std::array<unsigned char, 16> binary{};
  X509_VERIFY_PARAM* param = SSL_get0_param(connection);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool is_address =
      ::inet_pton(AF_INET, host.c_str(), binary.data()) == 1 || ::inet_pton(AF_INET6, host.c_str(), binary.data()) == 1;
  const bool set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str()) == 1
                              : X509_VERIFY_PARAM_set1_host(param, host.c_str(), 0) == 1 &&
                                    SSL_set_tlsext_host_name(connection, host.c_str()) == 1;
  if (!set) fail("expect the name " + host);
}

/// The connected socket, or why there is none.
base::UniqueFd try_connect(const addrinfo& to, const Timing& timing, const base::CancelToken* cancel,
                           std::string& why) {
  base::UniqueFd socket(::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw base::from_errno(errno, "make a socket");
  int error = ::connect(socket.get(), to.ai_addr, to.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    socklen_t size = sizeof error;
    error = ETIMEDOUT;
    if (Waiter(socket.get(), timing.handshake, cancel).wait(POLLOUT))
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return socket;
  why = std::generic_category().message(error);
  return {};
}

base::UniqueFd connect_socket(const Address& address, const Timing& timing, const base::CancelToken* cancel) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int unresolved = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &wanted, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  std::string why = unresolved == 0 ? "no address" : ::gai_strerror(unresolved);
  for (const addrinfo* to = list; to != nullptr && unresolved == 0; to = to->ai_next) {
    if (base::UniqueFd socket = try_connect(*to, timing, cancel, why)) return socket;
  }
  throw Error(Kind::unreachable, fmt::format("nothing answers at {}: {}", address.to_string(), why),
              "start it over there: umbra receive --listen ADDRESS:PORT --into DIR ...");
}

void prepare(int socket) {
  constexpr int on = 1;
  const int flags = ::fcntl(socket, F_GETFL);
  if (flags < 0 || ::fcntl(socket, F_SETFL, flags | O_NONBLOCK) != 0) throw base::from_errno(errno, "set up a socket");
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  base::notice_a_dead_link(socket);
}

/// A client that speaks in plain is told so in plain.
void require_tls(int socket, const Timing& timing, const base::CancelToken* cancel) {
  constexpr std::byte handshake_record{0x16};
  std::byte first{};
  if (!Waiter(socket, timing.handshake, cancel).wait(POLLIN))
    throw Error(Kind::timeout, fmt::format("it said nothing within {}", base::to_human(timing.handshake)));
  if (::recv(socket, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) throw Error(Kind::refused, "it left without a word");
  if (first == handshake_record) return;
  constexpr std::string_view words = "umbra receive: TLS 1.3 alone is spoken here\r\n";
  ::send(socket, words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  let_read(socket);
  throw Error(Kind::refused, "it does not speak TLS");
}

}  // namespace

std::unique_ptr<base::Line> connect(const Address& address, const model::TlsFiles& files, const Timing& timing,
                                    const base::CancelToken* cancel) {
  auto context = make_context(files, Role::client);
  base::UniqueFd socket = connect_socket(address, timing, cancel);
  prepare(socket.get());
  ConnectionHandle connection = over(*context, socket.get());
  SSL_set_connect_state(connection.get());
  if (context->keys.empty()) expect_name(connection.get(), address.host);
  base::with_context("connecting to " + address.to_string(), [&] {
    shake_hands(connection.get(), socket.get(), Role::client, timing, cancel);
    require_key(connection.get(), *context);
  });
  return std::make_unique<TlsLine>(std::move(context), std::move(connection), std::move(socket), Role::client,
                                   timing.idle, cancel);
}

Client accept(base::UniqueFd socket, const model::TlsFiles& files, const std::vector<std::string>& allow,
              const Timing& timing, const base::CancelToken* cancel) {
  auto context = make_context(files, Role::server);
  prepare(socket.get());
  require_tls(socket.get(), timing, cancel);
  ConnectionHandle connection = over(*context, socket.get());
  SSL_set_accept_state(connection.get());
  shake_hands(connection.get(), socket.get(), Role::server, timing, cancel);
  require_key(connection.get(), *context);
  Client client;
  client.names = names_of_peer(connection.get());
  client.allowed = allow.empty() || std::ranges::find_first_of(client.names, allow) != client.names.end();
  client.line = std::make_unique<TlsLine>(std::move(context), std::move(connection), std::move(socket), Role::server,
                                          client.allowed ? timing.idle : last_words_wait, cancel);
  return client;
}

}  // namespace umbra::tls
