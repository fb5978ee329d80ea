// SPDX-License-Identifier: Apache-2.0
#pragma once
// metrics: samples that others have taken: Prometheus by its HTTP API, traces from CSV files, GPUs by NVIDIA's library.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/metrics/http.hpp"
#include "model/ids.hpp"
#include "model/metrics.hpp"
#include "ports/metric_source.hpp"

namespace umbra::metrics {

/// One PromQL expression per resource, whose values are fractions of capacity. Before a query is sent, $window becomes
/// the duration over which to take rates and means, $labels the labels that name a VM, $net_capacity and $disk_capacity
/// bytes per second. The defaults have the names of the libvirt exporter, of NVIDIA's DCGM exporter and, for hosts, of
/// the node exporter. All are means over the window, so that what stopped being scraped ends with it; rate() knows
/// counters that started again.
struct PrometheusQueries {
  std::string cpu =
      "sum by ($labels) (rate(libvirt_domain_info_cpu_time_seconds_total[$window]))"
      " / sum by ($labels) (avg_over_time(libvirt_domain_info_virtual_cpus[$window]))";
  std::string memory =
      "1 - sum by ($labels) (avg_over_time(libvirt_domain_memory_stats_usable_bytes[$window]))"
      " / sum by ($labels) (avg_over_time(libvirt_domain_memory_stats_available_bytes[$window]))";
  std::string gpu = "avg by ($labels) (avg_over_time(DCGM_FI_DEV_GPU_UTIL[$window])) / 100";
  std::string gpu_memory =
      "sum by ($labels) (avg_over_time(DCGM_FI_DEV_FB_USED[$window]))"
      " / (sum by ($labels) (avg_over_time(DCGM_FI_DEV_FB_USED[$window]))"
      " + sum by ($labels) (avg_over_time(DCGM_FI_DEV_FB_FREE[$window])))";
  std::string net =
      "(sum by ($labels) (rate(libvirt_domain_interface_stats_receive_bytes_total[$window]))"
      " + sum by ($labels) (rate(libvirt_domain_interface_stats_transmit_bytes_total[$window]))) / $net_capacity";
  std::string disk =
      "(sum by ($labels) (rate(libvirt_domain_block_stats_read_bytes_total[$window]))"
      " + sum by ($labels) (rate(libvirt_domain_block_stats_write_bytes_total[$window]))) / $disk_capacity";
  std::string host_cpu =
      "sum by (instance) (rate(node_cpu_seconds_total{mode!~\"idle|iowait\"}[$window]))"
      " / count by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[$window]))";
  std::string host_memory =
      "1 - sum by (instance) (avg_over_time(node_memory_MemAvailable_bytes[$window]))"
      " / sum by (instance) (avg_over_time(node_memory_MemTotal_bytes[$window]))";
  /// For its label `uuid` or `instance_id`, where the figures themselves carry no `uuid`; exporters differ.
  std::string uuid = "libvirt_domain_info_meta or libvirt_domain_openstack_info";
};

struct PrometheusOptions {
  std::string url;  ///< "http://prometheus:9090", without /api
  HttpOptions http{};
  PrometheusQueries queries{};
  std::optional<base::Seconds> window{};  ///< $window; two steps where not set, which hold two scrapes at least
  model::Capacities capacities{};
  /// The first of these that a series has names its VM. A libvirt exporter says `domain`. A DCGM exporter runs where
  /// the GPU's driver does: of a GPU passed through in the guest, whose host name it gives as `Hostname`.
  std::vector<std::string> vm_labels{"domain", "vm", "Hostname"};
  /// The `instance` label ("10.0.0.1:9177"), or what stands before its port -> the host's name; where both are absent,
  /// what stands before the port is the name.
  std::map<std::string, model::HostName> hosts{};
};

/// Samples by range queries on a grid of whole steps since 1970, so that asking again gives the same samples; never
/// ahead of the server's clock; in chunks that stay below the server's limit of points and below `most_bytes`. A VM's
/// series is under its uuid where one is known, else under "vm:NAME"; a figure that names a VM by its host name
/// ("web1.example.org") goes to the VM of that name, or to the host. Of several values of one VM and time the highest
/// counts. What is negative or above 10 is no fraction: it is dropped and told. Nothing is asked before range();
/// Kind::invalid for an answer that is none of Prometheus.
std::unique_ptr<ports::RecordedSource> prometheus(PrometheusOptions options);

}  // namespace umbra::metrics
