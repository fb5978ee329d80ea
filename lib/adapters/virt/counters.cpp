// SPDX-License-Identifier: Apache-2.0
// Counters of a host and its domains, from one bulk call.
#include <libvirt/libvirt.h>

#include <fmt/format.h>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/facts.hpp"
#include "adapters/virt/params.hpp"
#include "adapters/virt/units.hpp"
#include "adapters/virt/virt.hpp"
#include "model/domain.hpp"

namespace umbra::virt {

namespace {

/// One domain's record of the bulk answer.
class Record {
 public:
  explicit Record(const virDomainStatsRecord& record) : m_record(record) {}

  std::optional<std::uint64_t> number(const std::string& name) const {
    return number_in(m_record.params, m_record.nparams, name.c_str());
  }

  /// The sum over `group`.0, .1, … of two counters; nothing where the group is not counted at all.
  std::optional<model::ByteCount> sum(const std::string& group, const char* first, const char* second) const {
    const auto count = number(group + ".count");
    if (!count) return std::nullopt;
    model::ByteCount total;
    for (std::uint64_t i = 0; i < *count; ++i) {
      total.value += number(fmt::format("{}.{}.{}", group, i, first)).value_or(0);
      total.value += number(fmt::format("{}.{}.{}", group, i, second)).value_or(0);
    }
    return total;
  }

  /// Whether it is a rehearsal's stand-in, whose load is none of its VM's: its disks tell.
  bool is_rehearsal() const {
    const char* path = nullptr;
    if (virTypedParamsGetString(m_record.params, m_record.nparams, "block.0.path", &path) != 1) return false;
    return std::string_view(path).find(fmt::format("/top-{}/", model::rehearsal_purpose)) != std::string_view::npos;
  }

 private:
  const virDomainStatsRecord& m_record;
};

/// What the guest itself says by its balloon: `usable` counts what its page cache would give back. A guest without the
/// driver, or with no period of stats set, says nothing.
void add_memory(const Record& record, model::Counters& counters) {
  const auto available = record.number("balloon.available");
  const auto left = record.number("balloon.usable") ? record.number("balloon.usable") : record.number("balloon.unused");
  if (available && *available > 0) {
    counters.memory_total = model::ByteCount{*available * kib};
    if (left) counters.memory_used = model::ByteCount{(*available - std::min(*left, *available)) * kib};
  } else if (const auto current = record.number("balloon.current")) {
    counters.memory_total = model::ByteCount{*current * kib};
  }
}

model::Counters counters_of(const virDomainStatsRecord& raw, const model::HostName& host, base::Instant at) {
  const Record record(raw);
  model::Counters counters;
  char uuid[VIR_UUID_STRING_BUFLEN];
  const std::string name = name_of(raw.dom);
  check(virDomainGetUUIDString(raw.dom, uuid), "read the UUID of " + name);
  counters.at = at;
  counters.host = host;
  counters.vm = model::VmName(name);
  counters.uuid = model::Uuid(uuid);
  counters.incarnation = fmt::format("domain-{}", virDomainGetID(raw.dom));
  counters.cpus = static_cast<double>(record.number("vcpu.current").value_or(1));
  if (const auto time = record.number("cpu.time")) counters.cpu_s = static_cast<double>(*time) / ns_per_s;
  add_memory(record, counters);
  counters.net_bytes = record.sum("net", "rx.bytes", "tx.bytes");
  counters.disk_bytes = record.sum("block", "rd.bytes", "wr.bytes");
  return counters;
}

/// Libvirt counts no bytes of a host's own interfaces and disks: these stay absent.
model::Counters host_counters(const Connection& connection, base::Instant at) {
  const NodeMemory memory = node_memory(connection.get());
  model::Counters counters;
  counters.at = at;
  counters.host = connection.host();
  counters.incarnation = "host";
  counters.cpus = node_cpus(connection.get());
  counters.cpu_s = node_cpu_times(connection.get()).busy_s;
  counters.memory_total = memory.total;
  counters.memory_used = model::ByteCount{memory.total.value - std::min(memory.total.value, memory.available.value)};
  return counters;
}

struct StatsRelease {
  void operator()(virDomainStatsRecordPtr* list) const noexcept { virDomainStatsRecordListFree(list); }
};

class LibvirtMetrics final : public ports::MetricSource {
 public:
  explicit LibvirtMetrics(model::HostConfig config) : m_config(std::move(config)) {}

  std::vector<model::Counters> counters() override {
    if (!m_connection) m_connection.emplace(m_config.name, m_config.uri);
    const unsigned groups = VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON |
                            VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK;
    // A domain that a job holds is told with what is known without it, rather than holding up all others.
    const unsigned flags = VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
    virDomainStatsRecordPtr* raw = nullptr;
    const int count = check(virConnectGetAllDomainStats(m_connection->get(), groups, &raw, flags),
                            "read the counters of " + m_config.name.get());
    const std::unique_ptr<virDomainStatsRecordPtr, StatsRelease> list(raw);
    const base::Instant at = base::system_clock().now();
    std::vector<model::Counters> all;
    for (int i = 0; i < count; ++i) {
      if (!Record(*raw[i]).is_rehearsal()) all.push_back(counters_of(*raw[i], m_config.name, at));
    }
    all.push_back(host_counters(*m_connection, at));
    return all;
  }

 private:
  model::HostConfig m_config;
  std::optional<Connection> m_connection;
};

}  // namespace

std::unique_ptr<ports::MetricSource> metric_source(const model::HostConfig& host) {
  return std::make_unique<LibvirtMetrics>(host);
}

}  // namespace umbra::virt
