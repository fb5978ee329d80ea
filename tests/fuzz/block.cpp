// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/block.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] {
    std::vector<model::Sample> samples;
    store::unpack(fuzz::text_of(data, size), {}, samples);
    // What was taken can be kept again, and comes back the same.
    std::vector<model::Sample> again;
    store::unpack(store::pack(samples, {}), {}, again);
    fuzz::must(samples.size() == again.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      fuzz::must(samples[i].at == again[i].at && samples[i].values == again[i].values);
      fuzz::must(samples[i].peaks == again[i].peaks && (i == 0 || samples[i - 1].at < samples[i].at));
    }
  });
  return 0;
}
