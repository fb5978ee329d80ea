// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/http.hpp"

#include <curl/curl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <array>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace umbra::metrics {
namespace {

void start_library() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) throw base::Error(base::Kind::io, fmt::format("libcurl: {}", curl_easy_strerror(started)));
}

struct Body {
  std::string text;
  std::size_t most = 0;
};

/// Called by libcurl with each piece; any other answer than the piece's length ends the transfer.
std::size_t take(char* data, std::size_t, std::size_t length, void* to) noexcept {
  auto& body = *static_cast<Body*>(to);
  if (body.text.size() + length > body.most) return 0;
  try {
    body.text.append(data, length);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return length;
}

std::string trimmed(std::string text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  text.erase(end == std::string::npos ? 0 : end + 1);
  return text;
}

/// One word: with a line end in it, it would end the header that it is sent in.
std::string token_in(const std::string& file) {
  constexpr const char* hint = "[metrics] token_file must be a file that holds the token and nothing else";
  std::string token;
  try {
    token = trimmed(base::read_text_file(file, 1u << 16));
  } catch (base::Error& error) {
    error.set_hint(hint);
    error.add_context("the token for Prometheus");
    throw;
  }
  if (token.empty())
    throw base::Error(base::Kind::usage, fmt::format("{}, the file of the token, is empty", file), hint);
  if (token.find_first_of(" \t\r\n") != std::string::npos || token.find('\0') != std::string::npos)
    throw base::Error(base::Kind::usage, fmt::format("{}, the file of the token, holds more than one word", file),
                      hint);
  return token;
}

/// `url` is without credentials.
base::Error transfer_error(CURLcode code, const std::string& url, const char* detail) {
  const std::string text = fmt::format("{}: {}", url, *detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return base::Error(base::Kind::timeout, text);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return base::Error(base::Kind::usage, text, "give an address of the form http://HOST:PORT");
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return base::Error(base::Kind::unreachable, text, fmt::format("curl {}", url));
    case CURLE_PEER_FAILED_VERIFICATION:
      return base::Error(base::Kind::unreachable, text,
                         "set [metrics] ca to the file of the authority that signed the server's certificate");
    case CURLE_SSL_CACERT_BADFILE:
      return base::Error(base::Kind::usage, text, "[metrics] ca must be a file of certificates in PEM form");
    case CURLE_SSL_CERTPROBLEM:
      return base::Error(base::Kind::usage, text,
                         "[metrics] cert and key must be files in PEM form that belong together");
    case CURLE_WRITE_ERROR:
      return base::Error(base::Kind::invalid, fmt::format("{}: the answer is too long", url));
    default:
      return base::Error(base::Kind::unreachable, text);
  }
}

base::Error status_error(long status, const std::string& url, const std::string& body) {
  const std::string text = fmt::format("{}: HTTP status {}: {}", url, status, trimmed(body.substr(0, 200)));
  if (status == 401 || status == 403)
    return base::Error(base::Kind::refused, text,
                       "put a token that the server accepts into the file [metrics] token_file");
  if (status == 404) return base::Error(base::Kind::not_found, text, "check the address");
  return base::Error(base::Kind::io, text);
}

}  // namespace

struct Http::Handle {
  CURL* curl = nullptr;
  HttpOptions options;
  bool warned = false;
  std::array<char, CURL_ERROR_SIZE> detail{};  ///< libcurl may write here as long as it lives

  explicit Handle(HttpOptions o) : options(std::move(o)) {
    start_library();
    curl = curl_easy_init();
    if (curl == nullptr) throw base::Error(base::Kind::io, "libcurl gives no handle");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { curl_easy_cleanup(curl); }

  std::string escaped(const std::string& text) const {
    const std::unique_ptr<char, decltype(&curl_free)> out(
        curl_easy_escape(curl, text.data(), static_cast<int>(text.size())), curl_free);
    if (!out) throw base::Error(base::Kind::io, "libcurl can't escape a query");
    return out.get();
  }

  void set_up(const std::string& url, Body& body) {
    curl_easy_reset(curl);  // the connection stays
    detail.front() = '\0';
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "umbra");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail.data());
    const auto set_file = [&](CURLoption option, const std::string& file) {
      if (!file.empty()) curl_easy_setopt(curl, option, file.c_str());
    };
    set_file(CURLOPT_CAINFO, options.ca);
    set_file(CURLOPT_SSLCERT, options.cert);
    set_file(CURLOPT_SSLKEY, options.key);
    if (!options.token_file.empty()) set_token();
  }

  /// Read anew each time: tokens are rotated.
  void set_token() {
    struct stat about {};
    if (!warned && ::stat(options.token_file.c_str(), &about) == 0 && (about.st_mode & S_IROTH) != 0) {
      warned = true;
      base::log(base::Level::warning, fmt::format("{} holds a token and can be read by every user: chmod o-rwx {}",
                                                  options.token_file, base::shell_word(options.token_file)));
    }
    const std::string token = token_in(options.token_file);
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token.c_str());
  }
};

Http::Http(HttpOptions options) : m_handle(std::make_unique<Handle>(std::move(options))) {}
Http::Http(Http&&) noexcept = default;
Http& Http::operator=(Http&&) noexcept = default;
Http::~Http() = default;

std::string Http::get(const std::string& url, const std::vector<std::pair<std::string, std::string>>& query) {
  std::string whole = url;
  char separator = '?';
  for (const auto& [name, value] : query) {
    whole += fmt::format("{}{}={}", separator, m_handle->escaped(name), m_handle->escaped(value));
    separator = '&';
  }
  Body body;
  body.most = m_handle->options.most_bytes;
  m_handle->set_up(whole, body);
  const CURLcode code = curl_easy_perform(m_handle->curl);
  const std::string shown = base::without_credentials(url);
  if (code != CURLE_OK) throw transfer_error(code, shown, m_handle->detail.data());
  long status = 0;
  curl_easy_getinfo(m_handle->curl, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) throw status_error(status, shown, body.text);
  return std::move(body.text);
}

}  // namespace umbra::metrics
