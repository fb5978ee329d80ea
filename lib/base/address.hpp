// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where a service listens, as people type it.

#include <string>

namespace umbra::base {

/// "beta:7900", "[fd00::2]:7900", "tls://beta:7900"; a host that is empty is every address.
struct Address {
  std::string host;
  std::string port;
  std::string to_string() const;
};
/// Kind::usage with the form where it is none.
Address parse_address(const std::string& text);

}  // namespace umbra::base
