// SPDX-License-Identifier: Apache-2.0
#pragma once
// metrics: samples that others have taken: Prometheus by its HTTP API, traces from CSV files.

#include <map>
#include <memory>
#include <string>

#include "adapters/metrics/http.hpp"
#include "model/ids.hpp"
#include "ports/metric_source.hpp"

namespace umbra::metrics {

/// One PromQL expression per figure, with the names of the libvirt exporter and, for hosts, of the node exporter. Those
/// of domains give one value per `instance` and `domain`, those of hosts one per `instance`. An empty one is not asked.
struct PrometheusQueries {
  std::string cpu_s = "libvirt_domain_info_cpu_time_seconds_total";
  std::string cpus = "libvirt_domain_info_virtual_cpus";
  std::string memory_total = "libvirt_domain_memory_stats_available_bytes";
  std::string memory_used = "libvirt_domain_memory_stats_available_bytes - libvirt_domain_memory_stats_usable_bytes";
  std::string net_bytes =
      "sum by (instance, domain) (libvirt_domain_interface_stats_receive_bytes_total)"
      " + sum by (instance, domain) (libvirt_domain_interface_stats_transmit_bytes_total)";
  std::string disk_bytes =
      "sum by (instance, domain) (libvirt_domain_block_stats_read_bytes_total)"
      " + sum by (instance, domain) (libvirt_domain_block_stats_write_bytes_total)";
  /// For its label `uuid` or `instance_id`, where the figures themselves carry no `uuid`; exporters differ.
  std::string meta = "libvirt_domain_info_meta or libvirt_domain_openstack_info";

  std::string host_cpu_s = "sum by (instance) (node_cpu_seconds_total{mode!~\"idle|iowait\"})";
  std::string host_cpus = "count by (instance) (node_cpu_seconds_total{mode=\"idle\"})";
  std::string host_memory_total = "node_memory_MemTotal_bytes";
  std::string host_memory_used = "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes";
};

struct PrometheusOptions {
  std::string url;  ///< "http://prometheus:9090", without /api
  HttpOptions http{};
  PrometheusQueries queries{};
  /// The `instance` label ("10.0.0.1:9177"), or what stands before its port -> the host's name; where both are absent,
  /// what stands before the port is the name.
  std::map<std::string, model::HostName> hosts{};
};

/// Counters by instant queries, all evaluated at the server's one instant. `at` is when the exporter was scraped, so
/// that asking twice between two scrapes gives no false rate. A domain of which no uuid is known gets "vm:NAME".
/// Nothing is asked before counters(); Kind::invalid for an answer that is none of Prometheus.
std::unique_ptr<ports::MetricSource> prometheus(PrometheusOptions options);

}  // namespace umbra::metrics
