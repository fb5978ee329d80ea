// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows that the store's tests write.

#include "ports/store.hpp"

namespace umbra::test {

inline base::Instant at(std::int64_t seconds) {
  return base::Instant{base::Millis{seconds * 1000}};
}

inline ports::SampleRow sample(const std::string& uuid, std::int64_t second, double cpu) {
  ports::SampleRow row{model::Uuid(uuid), model::VmName("vm-" + uuid), model::HostName("alpha"), {}};
  row.sample.at = at(second);
  row.sample[model::Resource::cpu] = cpu;
  return row;
}

/// `count` samples of `series` VMs, a minute apart.
inline std::vector<ports::SampleRow> many_samples(unsigned count, unsigned series, std::int64_t start = 0) {
  std::vector<ports::SampleRow> rows;
  for (unsigned i = 0; i < count; ++i) {
    ports::SampleRow row = sample("u" + std::to_string(i % series), start + 60 * (i / series), 0.5);
    for (const model::Resource r : model::all_resources) row.sample[r] = 0.001 * (i % 1000);
    rows.push_back(std::move(row));
  }
  return rows;
}

inline ports::Walk walk_of(const std::string& uuid) {
  ports::Walk walk;
  walk.kind = "switchover";
  walk.vm = model::VmName("web1");
  walk.uuid = model::Uuid(uuid);
  walk.from = model::HostName("alpha");
  walk.to = model::HostName("beta");
  walk.epoch = model::Epoch{4};
  walk.plan = R"({"disks":["vda"]})";
  walk.started = at(1000);
  return walk;
}

}  // namespace umbra::test
