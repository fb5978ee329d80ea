// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::InputFile file(fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const metrics::TraceCounts counts = metrics::read_trace(file.path()).counts;
    fuzz::must(counts.used + counts.malformed + counts.out_of_order + counts.repeated + counts.empty == counts.rows);
  });
  return 0;
}
