// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace.hpp"

#include <algorithm>

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::InputFile file(fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const metrics::Trace trace = metrics::read_trace(file.path());
    const metrics::TraceCounts& counts = trace.counts;
    fuzz::must(counts.used + counts.malformed + counts.repeated + counts.empty + counts.stray == counts.rows);
    fuzz::must(counts.rows_with_bad_cells <= std::min(counts.rows, counts.bad_cells));
    std::uint64_t samples = 0;
    for (const model::Series& series : trace.series) {
      samples += series.samples.size();
      for (std::size_t i = 1; i < series.samples.size(); ++i)
        fuzz::must(series.samples[i - 1].at < series.samples[i].at);
    }
    fuzz::must(samples == counts.used);
  });
  return 0;
}
