// SPDX-License-Identifier: Apache-2.0
#include "adapters/virt/domain_stats.hpp"

#include <fmt/format.h>
#include <libvirt/libvirt.h>

#include <algorithm>
#include <string_view>

#include "adapters/virt/params.hpp"
#include "adapters/virt/units.hpp"
#include "model/domain.hpp"

namespace umbra::virt {
namespace {

class Stats {
 public:
  Stats(const _virTypedParameter* list, int count) : m_list(list), m_count(count) {}

  std::optional<std::uint64_t> number(const std::string& name) const {
    return number_in(m_list, m_count, name.c_str());
  }

  /// The sum over `group`.0, .1, … of two counters. Nothing where none of them is told: that is no zero, and the next
  /// reading would take it for one. One of several may lack (an empty CD-ROM has none).
  std::optional<model::ByteCount> sum(const std::string& group, const char* first, const char* second) const {
    const auto members = number(group + ".count");
    if (!members) return std::nullopt;
    model::ByteCount total;
    bool told = *members == 0;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(*members, m_count); ++i) {
      for (const char* counter : {first, second}) {
        const auto value = number(fmt::format("{}.{}.{}", group, i, counter));
        total.value += value.value_or(0);
        told = told || value;
      }
    }
    return told ? std::optional(total) : std::nullopt;
  }

 private:
  const _virTypedParameter* m_list;
  int m_count;
};

/// What the guest itself says by its balloon: `usable` counts what its page cache would give back. A guest without the
/// driver, or with no period of stats set, says nothing.
void add_memory(const Stats& stats, model::Counters& counters) {
  const auto available = stats.number("balloon.available");
  const auto left = stats.number("balloon.usable") ? stats.number("balloon.usable") : stats.number("balloon.unused");
  if (available && *available > 0) {
    counters.memory_total = model::ByteCount{*available * kib};
    if (left) counters.memory_used = model::ByteCount{(*available - std::min(*left, *available)) * kib};
  } else if (const auto current = stats.number("balloon.current")) {
    counters.memory_total = model::ByteCount{*current * kib};
  }
}

}  // namespace

void add_stats(const _virTypedParameter* list, int count, model::Counters& counters) {
  const Stats stats(list, count);
  counters.cpus = static_cast<double>(stats.number("vcpu.current").value_or(0));
  if (const auto time = stats.number("cpu.time")) counters.cpu_s = static_cast<double>(*time) / ns_per_s;
  add_memory(stats, counters);
  counters.net_bytes = stats.sum("net", "rx.bytes", "tx.bytes");
  counters.disk_bytes = stats.sum("block", "rd.bytes", "wr.bytes");
}

bool is_rehearsal_stats(_virTypedParameter* list, int count) {
  const char* path = nullptr;
  if (virTypedParamsGetString(list, count, "block.0.path", &path) != 1) return false;
  return std::string_view(path).find(fmt::format("/top-{}/", model::rehearsal_purpose)) != std::string_view::npos;
}

}  // namespace umbra::virt
