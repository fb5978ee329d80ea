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

constexpr base::Millis last_words_wait{1000};

/// Waits on a socket until a deadline.
class Waiter {
 public:
  Waiter(int socket, base::Millis most, const base::CancelToken* cancel) : m_socket(socket), m_cancel(cancel) {
    if (most.count() > 0) m_end = base::system_clock().steady() + most;
  }

  /// False where the deadline has passed.
  bool wait(short events) const {
    if (!m_end) return base::ready_within(m_socket, events, std::nullopt, m_cancel);
    const base::Millis left = *m_end - base::system_clock().steady();
    return left.count() > 0 && base::ready_within(m_socket, events, left, m_cancel);
  }

 private:
  int m_socket;
  const base::CancelToken* m_cancel;
  std::optional<base::Millis> m_end;  ///< of the steady clock; absent: it waits for ever
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

  bool ready_within(base::Millis most) const override {
    if (holds_more()) return true;
    if (most > base::Millis{0}) base::ready_within(m_socket.get(), POLLIN, most, m_cancel);
    return most > base::Millis{0} && holds_more();
  }

  void end() noexcept override {
    if (std::exchange(m_ended, true)) return;
    ERR_clear_error();
    if (!m_broken) SSL_shutdown(m_connection.get());  // the other side then knows that nothing was cut off
    ERR_clear_error();
    ::shutdown(m_socket.get(), SHUT_WR);
  }

 private:
  bool holds_more() const {
    std::byte next{};
    std::size_t n = 0;
    ERR_clear_error();
    const int result = SSL_peek_ex(m_connection.get(), &next, 1, &n);
    return result == 1 || !waits_for(m_connection.get(), result);
  }

  std::size_t read_some(std::span<std::byte> buffer) {
    if (m_cancel != nullptr) m_cancel->check();  // also of a side that sends so fast that nothing is ever waited for
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

/// Whether the other side went away, or the link did, where a refusal would have given a reason.
bool is_cut(const SSL* connection, int result) {
  const unsigned long error = ERR_peek_error();
  return SSL_get_error(connection, result) == SSL_ERROR_SYSCALL ||
         (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

void shake_hands(SSL* connection, int socket, Role role, const Waiter& waiter, base::Millis most) {
  const bool client = role == Role::client;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(connection);
    if (result == 1) return;
    if (const auto events = waits_for(connection, result)) {
      if (waiter.wait(*events)) continue;
      throw Error(Kind::timeout, fmt::format("no handshake came within {}", base::to_human(most)),
                  client ? "see what it is that listens there: openssl s_client -connect HOST:PORT" : "");
    }
    const bool cut = is_cut(connection, result);
    const std::string why = why_refused(connection, role);
    if (cut)
      throw Error(Kind::unreachable, fmt::format("the connection was cut within the handshake: {}", why),
                  client ? "look at what `umbra receive --listen` says over there" : "");
    if (!client) let_read(socket);
    throw Error(Kind::refused, why,
                client ? "look at both ends' certificates: openssl x509 -in FILE -noout -text" : "");
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

/// A certificate that has names of its own kind is not known by its subject's: OpenSSL looks there where the names are
/// addresses alone.
void require_no_common_name(SSL* connection, const std::string& host) {
  X509* peer = SSL_get0_peer_certificate(connection);
  if (peer == nullptr || X509_get_ext_by_NID(peer, NID_subject_alt_name, -1) < 0) return;
  constexpr unsigned names_alone = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  if (X509_check_ip_asc(peer, host.c_str(), 0) == 1 ||
      X509_check_host(peer, host.c_str(), 0, names_alone, nullptr) == 1)
    return;
  throw Error(Kind::refused, fmt::format("the server's certificate: hostname mismatch: none of its names is {}", host),
              "look at its names: openssl x509 -in FILE -noout -ext subjectAltName");
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
    if (Waiter(socket.get(), timing.connect, cancel).wait(POLLOUT))
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
void require_tls(int socket, const Waiter& waiter, base::Millis most) {
  constexpr std::byte handshake_record{0x16};
  std::byte first{};
  if (!waiter.wait(POLLIN)) throw Error(Kind::timeout, fmt::format("it said nothing within {}", base::to_human(most)));
  if (::recv(socket, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) throw Error(Kind::unreachable, "it left without a word");
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
    shake_hands(connection.get(), socket.get(), Role::client, Waiter(socket.get(), timing.handshake, cancel),
                timing.handshake);
    if (context->keys.empty()) require_no_common_name(connection.get(), address.host);
    require_key(connection.get(), *context);
  });
  return std::make_unique<TlsLine>(std::move(context), std::move(connection), std::move(socket), Role::client,
                                   timing.idle, cancel);
}

Client accept(base::UniqueFd socket, const model::TlsFiles& files, const std::vector<std::string>& allow,
              const Timing& timing, const base::CancelToken* cancel) {
  auto context = make_context(files, Role::server);
  prepare(socket.get());
  const Waiter waiter(socket.get(), timing.handshake, cancel);  // of all that comes before it has shown who it is
  require_tls(socket.get(), waiter, timing.handshake);
  ConnectionHandle connection = over(*context, socket.get());
  SSL_set_accept_state(connection.get());
  shake_hands(connection.get(), socket.get(), Role::server, waiter, timing.handshake);
  require_key(connection.get(), *context);
  Client client;
  client.names = names_of_peer(connection.get());
  client.allowed = allow.empty() || std::ranges::find_first_of(client.names, allow) != client.names.end();
  client.line = std::make_unique<TlsLine>(std::move(context), std::move(connection), std::move(socket), Role::server,
                                          client.allowed ? timing.idle : last_words_wait, cancel);
  return client;
}

}  // namespace umbra::tls
