// SPDX-License-Identifier: Apache-2.0
#include "adapters/store/log_tail.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::InputFile log(fuzz::text_of(data, size));
  const store::LogTail tail = store::look_at_log(log.path());
  fuzz::must(tail.size == size && tail.committed <= size);
  fuzz::must(tail.state != store::LogState::whole || size == 0 || tail.committed >= 32);
  // Cut where it says that it is whole, it is.
  if (tail.committed < 32) return 0;
  const fuzz::InputFile cut(fuzz::text_of(data, tail.committed));
  const store::LogTail again = store::look_at_log(cut.path());
  fuzz::must(again.state == store::LogState::whole && again.committed == tail.committed);
  return 0;
}
