// SPDX-License-Identifier: Apache-2.0
// The one table of keys: a key is a line here and a member of the model. Nothing else has to know it, but for check.cpp
// where it must be there or must agree with another.
#include "adapters/config/keys.hpp"

#include <algorithm>

#include "adapters/config/config.hpp"

namespace umbra::config {
namespace {

using model::Config;
using model::FenceConfig;
using model::Flavour;
using model::HostConfig;
using model::MetricQueries;
using model::MetricsConfig;
using model::PlaceConfig;
using model::ReplicateConfig;
using model::VmOverrides;

/// The element of `list` whose name is `name`, made where it is absent.
template <class List, class Name>
auto& find_or_add(List& list, Name std::ranges::range_value_t<List>::*member, const std::string& name) {
  const auto it = std::ranges::find_if(list, [&](const auto& element) { return element.*member == Name(name); });
  if (it != list.end()) return *it;
  auto& added = list.emplace_back();
  added.*member = Name(name);
  return added;
}

/// One resource's threshold, into the map of them.
Key<VmOverrides> threshold_key(model::Resource resource) {
  struct One {
    model::Fraction threshold{-1};
  };
  const Key<One> one = value(std::string(model::to_string(resource)), &One::threshold);
  return {one.name,
          [=](Document& document, const std::string& path, const toml::node& node, VmOverrides& target) {
            One got;
            one.read(document, path, node, got);
            if (got.threshold.value >= 0) target.saturation[resource] = got.threshold;  // else it was a problem
          },
          {}};
}

Keys<VmOverrides> saturation_keys() {
  Keys<VmOverrides> keys;
  for (const model::Resource resource : model::all_resources) keys.push_back(threshold_key(resource));
  return keys;
}

Keys<HostConfig> tls_keys() {
  using model::TlsFiles;
  return {
      value("address", &HostConfig::tls_address, read_address),
      within(&HostConfig::tls, value("ca", &TlsFiles::ca, read_absolute_path)),
      within(&HostConfig::tls, value("cert", &TlsFiles::cert, read_absolute_path)),
      within(&HostConfig::tls, value("key", &TlsFiles::key, read_absolute_path)),
      within(&HostConfig::tls, value("crl", &TlsFiles::crl, read_absolute_path)),
      within(&HostConfig::tls, value("key_file", &TlsFiles::key_file, read_absolute_path)),
  };
}

Keys<HostConfig> host_keys() {
  return {
      value("uri", &HostConfig::uri, read_uri),
      value("peer_uri", &HostConfig::peer_uri, read_uri),
      value("images", &HostConfig::images, read_absolute_path),
      value("receive", &HostConfig::receive),
      group<HostConfig>("tls", tls_keys()),
      group<HostConfig>("nbd", {value("listen", &HostConfig::nbd_listen)}),
      value("networks", &HostConfig::networks),
      value("link", &HostConfig::link),
      value("limit", &HostConfig::limit),
  };
}

Keys<VmOverrides> vm_keys() {
  return {
      value("priority", &VmOverrides::priority),
      value("window", &VmOverrides::window),
      value("rpo", &VmOverrides::rpo),
      group("saturation", saturation_keys()),
      redirect_key(),
      probe_key(),
      value("probe_deadline", &VmOverrides::probe_deadline),
      value("on_failed_probe", &VmOverrides::roll_back_on_failed_probe, read_on_failed_probe),
      value("after", &VmOverrides::after),
      value("rollback_window", &VmOverrides::rollback_window),
      value("retain", &VmOverrides::retain),
      value("retain_for", &VmOverrides::retain_for),
      value("downtime_limit", &VmOverrides::downtime_limit),
      value("blackout_limit", &VmOverrides::blackout_limit),
      value("brownout_limit", &VmOverrides::brownout_limit),
      value("bytes_limit", &VmOverrides::bytes_limit),
      value("auto_converge", &VmOverrides::auto_converge),
      value("postcopy", &VmOverrides::postcopy),
      value("quiesce", &VmOverrides::quiesce),
      value("bandwidth", &VmOverrides::bandwidth),
      value("candidates", &VmOverrides::candidates),
  };
}

Keys<Flavour> flavour_keys() {
  return {
      value("host", &Flavour::host),   value("memory", &Flavour::memory),           value("vcpus", &Flavour::vcpus),
      value("disks", &Flavour::disks), value("count", &Flavour::count, read_count),
  };
}

Keys<MetricQueries> query_keys() {
  return {
      value("cpu", &MetricQueries::cpu),           value("memory", &MetricQueries::memory),
      value("gpu", &MetricQueries::gpu),           value("gpu_memory", &MetricQueries::gpu_memory),
      value("net", &MetricQueries::net),           value("disk", &MetricQueries::disk),
      value("host_cpu", &MetricQueries::host_cpu), value("host_memory", &MetricQueries::host_memory),
      value("uuid", &MetricQueries::uuid),
  };
}

Keys<MetricsConfig> metrics_keys() {
  return {
      value("source", &MetricsConfig::source, read_source),
      value("url", &MetricsConfig::url, read_http_url),
      value("trace", &MetricsConfig::trace, read_absolute_path),
      value("step", &MetricsConfig::step),
      value("rate_window", &MetricsConfig::rate_window),
      value("timeout", &MetricsConfig::timeout),
      value("ca", &MetricsConfig::ca, read_absolute_path),
      value("cert", &MetricsConfig::cert, read_absolute_path),
      value("key", &MetricsConfig::key, read_absolute_path),
      value("token_file", &MetricsConfig::token_file, read_absolute_path),
      value("vm_labels", &MetricsConfig::vm_labels),
      section("queries", &MetricsConfig::queries, query_keys()),
      value("nvml", &MetricsConfig::nvml),
      within(&MetricsConfig::capacities, value("net_capacity", &model::Capacities::net)),
      within(&MetricsConfig::capacities, value("disk_capacity", &model::Capacities::disk)),
      value("keep", &MetricsConfig::keep),
      value("max_size", &MetricsConfig::max_size),
  };
}

Keys<PlaceConfig> place_keys() {
  return {
      value("weights", &PlaceConfig::weights),
      value("headroom", &PlaceConfig::headroom),
      value("cpu_overcommit", &PlaceConfig::cpu_overcommit),
  };
}

Keys<ReplicateConfig> replicate_keys() {
  return {value("every", &ReplicateConfig::every)};
}

Keys<FenceConfig> fence_keys() {
  return {
      value("command", &FenceConfig::command),
      value("check", &FenceConfig::check),
      value("timeout", &FenceConfig::timeout),
  };
}

}  // namespace

const Keys<Config>& root_keys() {
  static const Keys<Config> keys{
      group<Config>("state", {value("dir", &Config::state_dir, read_absolute_path)}),
      named("hosts", "NAME", host_keys(),
            [](Config& c, const std::string& name) -> HostConfig& {
              return find_or_add(c.hosts, &HostConfig::name, name);
            }),
      named("vms", "PATTERN", vm_keys(),
            [](Config& c, const std::string& pattern) -> VmOverrides& {
              return find_or_add(c.vms, &model::VmPattern::pattern, pattern).overrides;
            }),
      named("pool", "NAME", flavour_keys(),
            [](Config& c, const std::string& name) -> Flavour& { return find_or_add(c.pool, &Flavour::name, name); }),
      section("metrics", &Config::metrics, metrics_keys()),
      section("place", &Config::place, place_keys()),
      section("replicate", &Config::replicate, replicate_keys()),
      section("fence", &Config::fence, fence_keys()),
  };
  return keys;
}

void read_root(Document& document, const toml::table& table) {
  read_table(document, "", table, root_keys(), document.config);
}

std::vector<std::string> known_keys() {
  return names_in(root_keys(), "");
}

}  // namespace umbra::config
