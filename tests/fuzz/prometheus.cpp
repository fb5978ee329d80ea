// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/answer.hpp"
#include "adapters/metrics/grid.hpp"
#include "fuzz.hpp"

using namespace umbra;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const metrics::Naming naming{{"domain", "vm", "Hostname"},
                               [](const std::string& instance) { return model::HostName(instance); }};
  metrics::GridSeries series({1700000000000, 60000, 3}, naming);
  fuzz::may_refuse([&] { series.add_uuids(metrics::vector_of(text)); });
  fuzz::may_refuse([&] {
    for (const metrics::RangeValues& values : metrics::matrix_of(text)) {
      series.add_host(model::Resource::cpu, values);
      series.add_vm(model::Resource::gpu, values);
      series.add_vm(model::Resource::net, values);
    }
  });
  fuzz::may_refuse([&] { metrics::time_in(text); });
  for (const model::Series& one : std::move(series).series()) {
    fuzz::must(!one.samples.empty() && one.samples.size() <= 3);
    for (const model::Sample& sample : one.samples) {
      for (const auto& value : sample.values) fuzz::must(!value || (*value >= 0 && *value <= 10));
    }
  }
  return 0;
}
