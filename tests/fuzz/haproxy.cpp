// SPDX-License-Identifier: Apache-2.0
// What HAProxy's runtime socket answers, as a list of a backend's servers.
#include "adapters/traffic/server_states.hpp"
#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::may_refuse([&] {
    for (const auto& [name, server] : traffic::parse_server_states(text, "web")) {
      fuzz::must(!name.empty());
      fuzz::must(server.place().size() > server.address.size());
    }
  });
  return 0;
}
