// SPDX-License-Identifier: Apache-2.0
#pragma once
// Samples of use: raw counters as a host gives them, and the fractions of capacity that the history holds.

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "model/ids.hpp"

namespace umbra::model {

enum class Resource { cpu, memory, gpu, gpu_memory, net, disk };
inline constexpr std::array all_resources{Resource::cpu,        Resource::memory, Resource::gpu,
                                          Resource::gpu_memory, Resource::net,    Resource::disk};
std::string_view to_string(Resource resource);
std::optional<Resource> resource_from_string(std::string_view text);

/// More of a capacity was never in use: it is a percentage, or no fraction at all.
inline constexpr double most_fraction = 10;

/// One VM's (or, with an empty uuid, one host's) counters at one instant. Absent: not known.
struct Counters {
  base::Instant at;
  HostName host;
  VmName vm;
  Uuid uuid;
  std::string incarnation;      ///< changes when counters start again (the domain's id, the host's boot)
  double cpus = 1;              ///< 0 where not known
  std::optional<double> cpu_s;  ///< CPU seconds used since its start
  std::optional<ByteCount> memory_total;
  std::optional<ByteCount> memory_used;
  std::optional<ByteCount> net_bytes;   ///< received and sent
  std::optional<ByteCount> disk_bytes;  ///< read and written
  std::optional<double> gpu;            ///< no counters: fractions in use at `at`
  std::optional<double> gpu_memory;
};

/// Use at one instant, averaged since the sample before. Empty: missing. A fraction of the capacity that the VM had
/// then: one that was resized keeps its past as it was, since 0.9 of two CPUs was as near to saturation as 0.9 of four
/// is.
struct Sample {
  base::Instant at;
  std::array<std::optional<double>, all_resources.size()> values{};
  /// The highest reading where the sample stands for several. Empty: the value itself is a single reading.
  std::array<std::optional<double>, all_resources.size()> peaks{};
  std::optional<double>& operator[](Resource r) { return values[static_cast<std::size_t>(r)]; }
  const std::optional<double>& operator[](Resource r) const { return values[static_cast<std::size_t>(r)]; }
  /// The highest reading that the sample stands for.
  std::optional<double> peak(Resource r) const {
    const std::optional<double>& highest = peaks[static_cast<std::size_t>(r)];
    return highest ? highest : (*this)[r];
  }
};

/// Readings on either side of a longer gap are not one course of things: a clock jumped, or the VM was away for long.
inline constexpr base::Millis longest_gap{std::chrono::hours(90 * 24)};
inline constexpr double longest_gap_s = base::Seconds(longest_gap).count();

/// `all`, cut between two neighbours wherever `is_gap(before, after)`.
template <class T, class IsGap>
std::vector<std::span<T>> cut_at_gaps(std::span<T> all, IsGap is_gap) {
  std::vector<std::span<T>> parts;
  for (auto from = all.begin(); from != all.end();) {
    const auto gap = std::adjacent_find(from, all.end(), is_gap);
    const auto to = gap == all.end() ? gap : std::next(gap);
    parts.emplace_back(from, to);
    from = to;
  }
  return parts;
}

/// A reading that is forecast from needs so many before it, without such a gap.
inline constexpr std::size_t least_history = 12;

/// One VM's samples, oldest first.
struct Series {
  VmName vm;
  Uuid uuid;
  HostName host;
  std::vector<Sample> samples;
};

/// What counts as 1.0 for the resources that have no capacity of their own.
struct Capacities {
  ByteRate net{125e6};   ///< 1 Gb/s
  ByteRate disk{200e6};  ///< bytes per second
};

}  // namespace umbra::model
