// SPDX-License-Identifier: Apache-2.0
#include "model/record.hpp"

#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::may_refuse([&] {
    const model::Record record = model::Record::parse(fuzz::text_of(data, size));
    fuzz::must(model::Record::parse(record.to_line()).json() == record.json());
    fuzz::may_refuse([&] { record.vm(); });
    fuzz::may_refuse([&] { record.forecast(); });
    fuzz::may_refuse([&] { record.placement(); });
    fuzz::may_refuse([&] { record.shadow(); });
    fuzz::may_refuse([&] { record.replica(); });
    fuzz::may_refuse([&] { record.state(); });
    fuzz::may_refuse([&] { record.decision(); });
    fuzz::may_refuse([&] { record.outcome(); });
    fuzz::may_refuse([&] { record.error(); });
  });
  return 0;
}
