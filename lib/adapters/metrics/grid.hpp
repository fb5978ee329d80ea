// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a chunk of range queries gave, put together into series. Pure. Inside this folder only.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapters/metrics/answer.hpp"
#include "model/metrics.hpp"

namespace umbra::metrics {

/// The instants of one chunk: first, first + step, …
struct Grid {
  std::int64_t first_ms = 0;
  std::int64_t step_ms = 0;
  std::size_t points = 0;
};

/// How labels name things.
struct Naming {
  std::vector<std::string> vm_labels;
  std::function<model::HostName(const std::string& instance)> host_of;
};

class GridSeries {
 public:
  GridSeries(const Grid& grid, const Naming& naming) : m_grid(grid), m_naming(naming) {}

  /// The elements of the query for uuids; before all others.
  void add_uuids(const std::vector<InstantValue>& elements);
  void add_host(model::Resource resource, const RangeValues& values);
  void add_vm(model::Resource resource, const RangeValues& values);

  /// Hosts and VMs, each with the samples that have a value.
  std::vector<model::Series> series() &&;
  /// Values since the last call that are no fraction of capacity, and the first of them for a person. They are left
  /// out; the others of their instant stand.
  struct Bad {
    std::uint64_t count = 0;
    std::string first;
  };
  Bad take_bad() { return std::exchange(m_bad, {}); }

 private:
  void add(model::Series& to, model::Resource resource, const RangeValues& values);
  model::Series& series_of(const model::Uuid& uuid, const model::VmName& vm, const model::HostName& host);
  model::Series* series_by_name(const std::string& name);

  Grid m_grid;
  const Naming& m_naming;
  std::map<std::pair<model::HostName, std::string>, model::Uuid> m_uuids;  ///< of a VM by host and name
  std::map<model::Uuid, model::Series> m_series;
  std::map<std::string, model::Uuid> m_by_name;  ///< the VMs of libvirt's figures and the hosts
  Bad m_bad;
};

}  // namespace umbra::metrics
