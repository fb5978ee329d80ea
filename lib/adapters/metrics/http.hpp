// SPDX-License-Identifier: Apache-2.0
#pragma once
// One HTTP client over libcurl, for GET alone. A server's certificate and name are always checked.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"

namespace umbra::metrics {

struct HttpOptions {
  base::Millis connect_timeout{5000};
  base::Millis timeout{30000};
  std::size_t most_bytes = 64u << 20;  ///< a longer answer is an error
  std::string token_file;              ///< its content is sent as a bearer token; empty: none
  std::string ca;                      ///< file of the authorities to trust, PEM; empty: the system's store
  std::string cert;                    ///< file of this client's own certificate, PEM; empty: none
  std::string key;                     ///< file of its key
};

/// Move-only; one connection is kept for the next request. Not for two threads at once.
class Http {
 public:
  explicit Http(HttpOptions options = {});
  Http(Http&&) noexcept;
  Http& operator=(Http&&) noexcept;
  ~Http();

  /// The body. Kind::unreachable where no answer comes, Kind::timeout past the deadline, Kind::refused for 401 and 403,
  /// Kind::not_found for 404, Kind::io for any other status than 2xx; each names the URL, without the password that it
  /// may hold. A token's file that others may read is warned of, once; one that holds no token is Kind::usage, and
  /// nothing is sent.
  std::string get(const std::string& url, const std::vector<std::pair<std::string, std::string>>& query = {});

 private:
  struct Handle;
  std::unique_ptr<Handle> m_handle;
};

}  // namespace umbra::metrics
