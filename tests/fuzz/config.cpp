// SPDX-License-Identifier: Apache-2.0
#include "adapters/config/config.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::InputFile file(fuzz::text_of(data, size));
  fuzz::may_refuse([&] { config::load({file.path(), {}, {}}, {}); });
  return 0;
}
