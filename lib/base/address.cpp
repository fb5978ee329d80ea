// SPDX-License-Identifier: Apache-2.0
#include "base/address.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.hpp"

namespace umbra::base {

std::string Address::to_string() const {
  return host.find(':') == std::string::npos ? host + ":" + port : "[" + host + "]:" + port;
}

Address parse_address(const std::string& text) {
  constexpr std::string_view scheme = "tls://";
  std::string_view rest = text;
  const auto wrong = [&] {
    return Error(Kind::usage, fmt::format("\"{}\" is no address with a port", text),
                 "write HOST:PORT, such as beta:7900 or [fd00::2]:7900");
  };
  if (rest.starts_with(scheme)) {
    rest.remove_prefix(scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
  }
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) throw wrong();
  Address address{std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1))};
  const bool bracketed = address.host.starts_with('[') && address.host.ends_with(']');
  if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  const auto digit = [](unsigned char c) { return c >= '0' && c <= '9'; };
  const bool port_sound = !address.port.empty() && address.port.size() <= 5 &&
                          std::ranges::all_of(address.port, digit) && std::stoi(address.port) <= 65535;
  const bool host_sound = address.host.find_first_of("/@[] \t") == std::string::npos &&
                          (bracketed || address.host.find(':') == std::string::npos);
  if (!port_sound || !host_sound) throw wrong();
  return address;
}

}  // namespace umbra::base
