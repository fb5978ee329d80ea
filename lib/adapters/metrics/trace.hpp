// SPDX-License-Identifier: Apache-2.0
#pragma once
// Trace files: recorded use as CSV with the header time,vm,cpu,memory,gpu,gpu_memory,net,disk.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/metrics.hpp"

namespace umbra::metrics {

/// Rows that were not used, and why.
struct TraceCounts {
  std::uint64_t rows = 0;  ///< read, header lines apart
  std::uint64_t used = 0;
  std::uint64_t malformed = 0;     ///< no time, no VM, a cell that is no number, a fraction below zero, too few cells
  std::uint64_t out_of_order = 0;  ///< earlier than a row of the same VM before it
  std::uint64_t repeated = 0;      ///< the same VM and time again; the first is kept
  std::uint64_t empty = 0;         ///< every resource missing
};

struct Trace {
  std::vector<model::Series> series;  ///< by VM name
  TraceCounts counts;
  std::vector<std::string> notes;  ///< for a person: columns ignored, the first bad row of each kind
};

/// Reads FILE, or every *.csv of DIR in the order of their names. Kind::not_found where it is absent, Kind::invalid
/// where a file has no usable row.
Trace read_trace(const std::filesystem::path& path);

/// Rows one at a time, for traces larger than memory: in the files' order, only the usable ones.
struct TraceRow {
  model::VmName vm;
  model::Sample sample;
};
TraceCounts each_trace_row(const std::filesystem::path& path, const std::function<void(const TraceRow&)>& each,
                           const std::function<void(const std::string&)>& note);

}  // namespace umbra::metrics
