// SPDX-License-Identifier: Apache-2.0
// Counters of a host and its domains, from one bulk call.
#include <libvirt/libvirt.h>

#include <fmt/format.h>

#include "adapters/virt/connection.hpp"
#include "adapters/virt/domain_stats.hpp"
#include "adapters/virt/errors.hpp"
#include "adapters/virt/facts.hpp"
#include "adapters/virt/virt.hpp"

namespace umbra::virt {

namespace {

model::Counters counters_of(const virDomainStatsRecord& raw, const model::HostName& host, base::Instant at) {
  model::Counters counters;
  char uuid[VIR_UUID_STRING_BUFLEN];
  const std::string name = name_of(raw.dom);
  check(virDomainGetUUIDString(raw.dom, uuid), "read the UUID of " + name);
  counters.at = at;
  counters.host = host;
  counters.vm = model::VmName(name);
  counters.uuid = model::Uuid(uuid);
  counters.incarnation = fmt::format("domain-{}", virDomainGetID(raw.dom));
  add_stats(raw.params, raw.nparams, counters);
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
      if (is_rehearsal_stats(raw[i]->params, raw[i]->nparams)) continue;
      all.push_back(counters_of(*raw[i], m_config.name, at));
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
