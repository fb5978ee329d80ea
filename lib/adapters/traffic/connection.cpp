// SPDX-License-Identifier: Apache-2.0
#include "adapters/traffic/connection.hpp"

#include <curl/curl.h>
#include <fmt/core.h>
#include <poll.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"

namespace umbra::traffic {

using base::Error;
using base::Kind;

void CurlCleanup::operator()(void* curl) const noexcept {
  curl_easy_cleanup(curl);
}

CurlHandle make_curl() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CurlHandle curl(ready == CURLE_OK ? curl_easy_init() : nullptr);
  if (!curl) throw Error(Kind::io, "libcurl gives no handle");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_QUICK_EXIT, 1L);  // past the deadline no slow name server is waited for
  return curl;
}

Connection::Connection(std::string address, base::Millis deadline)
    : m_address(std::move(address)), m_end(base::system_clock().steady() + deadline), m_curl(make_curl()) {
  const bool local = m_address.starts_with('/');
  const std::string url = "http://" + (local ? "localhost" : m_address);  // the scheme alone decides nothing here
  curl_easy_setopt(m_curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(m_curl.get(), CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(m_curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(m_curl.get(), CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(deadline.count()));
  if (local) curl_easy_setopt(m_curl.get(), CURLOPT_UNIX_SOCKET_PATH, m_address.c_str());
  if (const CURLcode code = curl_easy_perform(m_curl.get()); code != CURLE_OK) fail(code, "no connection");
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(m_curl.get(), CURLINFO_ACTIVESOCKET, &socket);
  m_socket = socket;
}

void Connection::fail(int code, std::string_view what) const {
  if (code == CURLE_OPERATION_TIMEDOUT)
    throw Error(Kind::timeout, fmt::format("{} does not answer in time", m_address));
  long system_error = 0;
  curl_easy_getinfo(m_curl.get(), CURLINFO_OS_ERRNO, &system_error);
  const std::string why = system_error != 0 ? std::generic_category().message(static_cast<int>(system_error))
                                            : curl_easy_strerror(static_cast<CURLcode>(code));
  throw Error(Kind::unreachable, fmt::format("{}: {}: {}", m_address, what, why));
}

void Connection::wait_for(short events) {
  for (;;) {
    const base::Millis left = m_end - base::system_clock().steady();
    if (left <= base::Millis{0}) fail(CURLE_OPERATION_TIMEDOUT, "");
    pollfd fd{m_socket, events, 0};
    const int ready = ::poll(&fd, 1, static_cast<int>(left.count()));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw base::from_errno(errno, "poll");
  }
}

void Connection::send(std::string_view text) {
  while (!text.empty()) {
    std::size_t sent = 0;
    const CURLcode code = curl_easy_send(m_curl.get(), text.data(), text.size(), &sent);
    if (code == CURLE_AGAIN)
      wait_for(POLLOUT);
    else if (code != CURLE_OK)
      fail(code, "sending to it failed");
    text.remove_prefix(sent);
  }
}

std::string Connection::read_to_end() {
  constexpr std::size_t most = 4u << 20;
  std::string answer;
  std::array<char, 16384> piece{};
  for (;;) {
    std::size_t n = 0;
    const CURLcode code = curl_easy_recv(m_curl.get(), piece.data(), piece.size(), &n);
    if (code == CURLE_AGAIN) {
      wait_for(POLLIN);
      continue;
    }
    if (code != CURLE_OK) fail(code, "reading from it failed");
    if (n == 0) return answer;
    answer.append(piece.data(), n);
    if (answer.size() > most) throw Error(Kind::invalid, m_address + " answers without end");
  }
}

}  // namespace umbra::traffic
