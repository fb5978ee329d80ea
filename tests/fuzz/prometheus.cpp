// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/answer.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] { metrics::vector_of(fuzz::text_of(data, size)); });
  return 0;
}
