// SPDX-License-Identifier: Apache-2.0
// What an administrator writes for TLS. The first byte says which: 'a' an address, anything else a file of keys.
#include <set>

#include "adapters/tls/key_file.hpp"
#include "adapters/tls/tls.hpp"
#include "fuzz.hpp"

using namespace umbra;

namespace {

void address(const std::string& text) {
  const tls::Address read = base::parse_address(text);
  const tls::Address again = base::parse_address(read.to_string());
  fuzz::must(again.host == read.host && again.port == read.port);
}

void keys(std::string_view content) {
  std::set<std::string> identities;
  for (const tls::SharedKey& key : tls::parse_keys(content, "keys")) {
    fuzz::must(key.key.size() >= 16 && key.key.size() <= 256);
    fuzz::must(!key.identity.empty() && key.identity.size() <= 256 && identities.insert(key.identity).second);
  }
  fuzz::must(!identities.empty());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  fuzz::may_refuse([&] { data[0] == 'a' ? address(std::string(rest)) : keys(rest); });
  return 0;
}
