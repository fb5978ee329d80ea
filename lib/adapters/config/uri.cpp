// SPDX-License-Identifier: Apache-2.0
#include "adapters/config/uri.hpp"

namespace umbra::config {

bool is_uri(const std::string& text) {
  const std::size_t colon = text.find(':');
  return colon != std::string::npos && colon > 0 && text.find_first_of("/ \t") > colon;
}

std::optional<std::string> host_in_uri(const std::string& uri) {
  const std::size_t slashes = uri.find("://");
  if (slashes == std::string::npos) return std::nullopt;
  std::string authority = uri.substr(slashes + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (const std::size_t at = authority.rfind('@'); at != std::string::npos) authority.erase(0, at + 1);
  const bool bracketed = authority.starts_with('[');  // an IPv6 address
  if (bracketed)
    authority = authority.substr(1, authority.find(']') - 1);
  else
    authority = authority.substr(0, authority.find(':'));
  if (authority.empty()) return std::nullopt;
  return authority;
}

}  // namespace umbra::config
