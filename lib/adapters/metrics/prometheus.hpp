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

/// One PromQL expression per figure; each gives one value per `domain` label. An empty one is not asked.
struct PrometheusQueries {
  std::string cpu_s = "libvirt_domain_info_cpu_time_seconds_total";
  std::string cpus = "libvirt_domain_info_virtual_cpus";
  std::string memory_total = "libvirt_domain_info_maximum_memory_bytes";
  std::string memory_used = "libvirt_domain_memory_stats_available_bytes - libvirt_domain_memory_stats_usable_bytes";
  std::string net_bytes =
      "sum by (instance, domain) (libvirt_domain_interface_stats_receive_bytes_total)"
      " + sum by (instance, domain) (libvirt_domain_interface_stats_transmit_bytes_total)";
  std::string disk_bytes =
      "sum by (instance, domain) (libvirt_domain_block_stats_read_bytes_total)"
      " + sum by (instance, domain) (libvirt_domain_block_stats_write_bytes_total)";
  std::string meta = "libvirt_domain_info_meta";  ///< for its `uuid` (or instance_id) label
};

struct PrometheusOptions {
  std::string url;  ///< "http://prometheus:9090", without /api
  HttpOptions http;
  PrometheusQueries queries;
  /// The exporter's `instance` label ("alpha:9177") -> the host's name; where absent, the label before the colon.
  std::map<std::string, model::HostName> hosts;
};

/// Counters by instant queries. Nothing is asked before counters(); Kind::invalid for an answer that is none.
std::unique_ptr<ports::MetricSource> prometheus(PrometheusOptions options);

}  // namespace umbra::metrics
