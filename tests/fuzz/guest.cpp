// SPDX-License-Identifier: Apache-2.0
// What a guest tells of itself; a guest may lie.
#include "adapters/virt/agent.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  virt::parse_activity(fuzz::text_of(data, size));
  fuzz::may_refuse([&] { virt::parse_activity(virt::decode_base64(fuzz::text_of(data, size))); });
  return 0;
}
