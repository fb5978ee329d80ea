// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/peer_probe.hpp"

#include <netinet/in.h>
#include <poll.h>

#include <cerrno>

namespace umbra::procfs {
namespace {

constexpr base::Millis between_questions{300};
constexpr std::size_t most_open = 16;  // the kernel repeats each, too
constexpr in_port_t nobody = 1;        // tcpmux, which nothing serves

enum class Reply { none, answered, failed };

/// What became of a connect that was begun. Only the other host itself accepts or refuses.
Reply reply_to(const base::UniqueFd& socket) {
  pollfd waiting{socket.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, 0) <= 0) return Reply::none;
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return Reply::failed;
  return error == 0 || error == ECONNREFUSED ? Reply::answered : Reply::failed;
}

}  // namespace

PeerProbe::PeerProbe(const Stream& stream) : m_size(sizeof m_peer) {
  auto* const generic = reinterpret_cast<sockaddr*>(&m_peer);
  if (::getpeername(stream.socket.get(), generic, &m_size) != 0) m_size = 0;
  if (m_peer.ss_family == AF_INET) reinterpret_cast<sockaddr_in*>(&m_peer)->sin_port = htons(nobody);
  if (m_peer.ss_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(&m_peer)->sin6_port = htons(nobody);
}

void PeerProbe::ask(base::Millis now) {
  base::UniqueFd socket(::socket(m_peer.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return;
  m_asked = now;
  if (!m_first_in_vain) m_first_in_vain = now;
  const int begun = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&m_peer), m_size);
  if (begun == 0 || errno == ECONNREFUSED) {  // this very host
    m_answered = now;
    m_first_in_vain.reset();
  } else if (errno == EINPROGRESS) {
    m_open.push_back({now, std::move(socket)});
  }
}

void PeerProbe::look(base::Millis now) {
  if (m_size == 0) return;
  for (auto question = m_open.begin(); question != m_open.end();) {
    const Reply reply = reply_to(question->socket);
    if (reply == Reply::answered) {
      m_answered = now;
      m_first_in_vain.reset();
    }
    question = reply == Reply::none ? question + 1 : m_open.erase(question);
  }
  if (!m_first_in_vain) m_open.clear();  // all is answered by one answer
  if (m_open.size() >= most_open) m_open.pop_front();
  if (!m_asked || now - *m_asked >= between_questions) ask(now);
}

bool PeerProbe::is_silent(base::Millis now, base::Millis limit) const {
  return m_answered && m_first_in_vain && now - *m_first_in_vain >= limit;
}

}  // namespace umbra::procfs
