// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/keepalive.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const virt::Keepalive found = virt::keepalive_in(fuzz::text_of(data, size));
  const auto after = found.gives_up_after();
  fuzz::must(after.has_value() == (found.interval_s > 0));
  fuzz::must(!after || after->count() >= found.interval_s);
  return 0;
}
