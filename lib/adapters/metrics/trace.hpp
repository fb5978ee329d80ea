// SPDX-License-Identifier: Apache-2.0
#pragma once
// Trace files: recorded use as CSV with the header time,vm,cpu,memory,gpu,gpu_memory,net,disk.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/metrics.hpp"

namespace umbra::metrics {

/// What became of the rows: each is used, malformed, repeated, empty or stray. One that is out of order is used all the
/// same.
struct TraceCounts {
  std::uint64_t rows = 0;  ///< read, header lines apart
  std::uint64_t used = 0;
  std::uint64_t malformed = 0;     ///< no time, no VM, too few cells, or values of which none is a fraction
  std::uint64_t out_of_order = 0;  ///< earlier than a row of the same VM before it; put in its place
  std::uint64_t repeated = 0;      ///< the same VM and time again; the first is kept
  std::uint64_t empty = 0;         ///< every resource missing
  std::uint64_t stray = 0;         ///< few, and months from all others of their VM: a clock jumped
  std::uint64_t beyond = 0;        ///< used, though CPU, memory or GPU are at more than twice their capacity
  // Of rows with a time and a VM. Such a value is as if it were missing; the others of its row stand.
  std::uint64_t bad_cells = 0;  ///< no number, not finite, below zero, or far above any capacity
  std::uint64_t rows_with_bad_cells = 0;
};

/// "3 values in 2 rows are no fraction of capacity and count as missing"
std::string bad_cells_told(const TraceCounts& counts);

struct Trace {
  std::vector<model::Series> series;  ///< by VM name
  TraceCounts counts;
  std::vector<std::string> notes;  ///< for a person: columns ignored, the first bad row of each kind, how many in all
};

/// Reads FILE, or every *.csv of DIR in the order of their names; each series is by time, whatever the rows' order in
/// their files. Kind::not_found where it is absent, Kind::invalid where a file has no usable row.
Trace read_trace(const std::filesystem::path& path);

/// What a last line without its line end is.
enum class Ending {
  is_whole,           ///< a row; and a file without a usable row is an error
  may_be_unfinished,  ///< being written: it is left for the next time, as is a file that has no row yet
};

/// Rows one at a time, for traces larger than memory: in the files' order, only the usable ones. Of repeated rows only
/// those are known that repeat the VM's newest.
struct TraceRow {
  const model::VmName& vm;
  std::size_t number;  ///< of the VM, in the order of appearance
  const model::Sample& sample;
  bool again = false;  ///< of the same VM and time as the row before: only what that lacks is news
};
/// What `sample` lacks, from another of the same time.
void fill(model::Sample& sample, const model::Sample& more);

TraceCounts each_trace_row(const std::filesystem::path& path, const std::function<void(const TraceRow&)>& each,
                           const std::function<void(const std::string&)>& note, Ending ending = Ending::is_whole);

}  // namespace umbra::metrics
