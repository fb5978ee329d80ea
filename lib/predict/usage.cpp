// SPDX-License-Identifier: Apache-2.0
#include "predict/usage.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace umbra::predict {
namespace {

using model::Resource;

/// Seconds between two readings of the same counters; nothing where they can't be compared.
std::optional<double> elapsed_s(const std::optional<model::Counters>& before, const model::Counters& now) {
  if (!before || before->uuid != now.uuid || before->vm != now.vm || before->host != now.host) return std::nullopt;
  if (before->incarnation != now.incarnation || now.at <= before->at) return std::nullopt;
  return base::Seconds(now.at - before->at).count();
}

std::optional<double> rate(const std::optional<double>& before, const std::optional<double>& now, double elapsed,
                           double capacity) {
  if (!before || !now || !(*now >= *before) || !(capacity > 0)) return std::nullopt;
  const double used = (*now - *before) / elapsed / capacity;
  return std::isfinite(used) ? std::optional(used) : std::nullopt;
}

/// What a reading itself says to be a fraction.
std::optional<double> fraction(const std::optional<double>& value) {
  if (!value || !(*value >= 0) || *value > model::most_fraction) return std::nullopt;
  return std::min(1.0, *value);
}

std::optional<double> as_double(const std::optional<model::ByteCount>& bytes) {
  if (!bytes) return std::nullopt;
  return static_cast<double>(bytes->value);
}

std::optional<double> memory_use(const model::Counters& now) {
  if (!now.memory_used || !now.memory_total || now.memory_total->value == 0) return std::nullopt;
  return std::min(1.0, *as_double(now.memory_used) / *as_double(now.memory_total));
}

}  // namespace

std::optional<model::Sample> usage(const std::optional<model::Counters>& before, const model::Counters& now,
                                   const model::Capacities& capacities) {
  model::Sample sample;
  sample.at = now.at;
  sample[Resource::memory] = memory_use(now);
  sample[Resource::gpu] = fraction(now.gpu);
  sample[Resource::gpu_memory] = fraction(now.gpu_memory);
  if (const auto elapsed = elapsed_s(before, now)) {
    // CPUs plugged or unplugged in between: by the larger number, so that it never looks fuller than it was.
    sample[Resource::cpu] = rate(before->cpu_s, now.cpu_s, *elapsed, std::max(before->cpus, now.cpus));
    // Emulator threads count too, so that a busy guest may seem to use somewhat more than its CPUs. Many times as much
    // is a clock that was set back between the two readings, but not beyond the first.
    sample[Resource::cpu] = fraction(sample[Resource::cpu]);
    sample[Resource::net] =
        rate(as_double(before->net_bytes), as_double(now.net_bytes), *elapsed, capacities.net.value);
    sample[Resource::disk] =
        rate(as_double(before->disk_bytes), as_double(now.disk_bytes), *elapsed, capacities.disk.value);
  }
  const bool known =
      std::any_of(sample.values.begin(), sample.values.end(), [](const auto& v) { return v.has_value(); });
  if (!known) return std::nullopt;
  return sample;
}

std::optional<std::string> resized(const std::optional<model::Counters>& before, const model::Counters& now) {
  if (!before || before->uuid != now.uuid || before->cpus == now.cpus) return std::nullopt;
  if (!(before->cpus > 0 && now.cpus > 0)) return std::nullopt;
  return fmt::format("{:g} CPUs became {:g}", before->cpus, now.cpus);
}

}  // namespace umbra::predict
