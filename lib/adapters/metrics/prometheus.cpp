// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/prometheus.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "adapters/metrics/answer.hpp"
#include "base/error.hpp"

namespace umbra::metrics {
namespace {

using Labels = std::map<std::string, std::string>;

std::string label(const Labels& labels, const std::string& name) {
  const auto it = labels.find(name);
  return it == labels.end() ? std::string() : it->second;
}

constexpr double latest_unix_s = 253402300799;  // the end of the year 9999, the last that RFC 3339 writes

/// What no counter of a real host reaches is held at the bound, so that every value has a meaning as an integer.
model::ByteCount bytes(double value) {
  return {static_cast<std::uint64_t>(std::clamp(value, 0.0, 0x1p62))};
}

class Prometheus final : public ports::MetricSource {
 public:
  explicit Prometheus(PrometheusOptions options) : m_options(std::move(options)), m_http(m_options.http) {
    while (m_options.url.ends_with('/')) m_options.url.pop_back();
  }

  std::vector<model::Counters> counters() override {
    m_instant.clear();
    m_rows.clear();
    ask_domains();
    ask_hosts();
    std::vector<model::Counters> all;
    for (auto& [key, row] : m_rows) {
      // Without CPU time it is no running domain, only a figure about one.
      if (row.cpu_s) all.push_back(std::move(row));
    }
    return all;
  }

 private:
  using Set = std::function<void(model::Counters&, double)>;
  using Key = std::pair<model::HostName, model::VmName>;  // a host's own row has no VM

  void ask_domains() {
    const PrometheusQueries& q = m_options.queries;
    each(q.cpu_s, [](model::Counters& c, double v) { c.cpu_s = v; });
    each(timestamp(q.cpu_s), set_time);
    each(q.cpus, [](model::Counters& c, double v) { c.cpus = v; });
    each(q.memory_total, [](model::Counters& c, double v) { c.memory_total = bytes(v); });
    each(q.memory_used, [](model::Counters& c, double v) { c.memory_used = bytes(v); });
    each(q.net_bytes, [](model::Counters& c, double v) { c.net_bytes = bytes(v); });
    each(q.disk_bytes, [](model::Counters& c, double v) { c.disk_bytes = bytes(v); });
    for (const InstantValue& value : instant(q.meta)) {
      if (label(value.labels, "domain").empty()) continue;
      model::Counters& its_row = row(value);
      if (its_row.uuid.get().empty()) its_row.uuid = model::Uuid(label(value.labels, "instance_id"));
    }
    for (auto& [key, row] : m_rows) {
      if (row.uuid.get().empty()) row.uuid = model::Uuid("vm:" + row.vm.get());
    }
  }

  void ask_hosts() {
    const PrometheusQueries& q = m_options.queries;
    each_host(q.host_cpu_s, [](model::Counters& c, double v) { c.cpu_s = v; });
    each_host(timestamp(q.host_cpu_s), set_time);
    each_host(q.host_cpus, [](model::Counters& c, double v) { c.cpus = v; });
    each_host(q.host_memory_total, [](model::Counters& c, double v) { c.memory_total = bytes(v); });
    each_host(q.host_memory_used, [](model::Counters& c, double v) { c.memory_used = bytes(v); });
  }

  static void set_time(model::Counters& c, double unix_s) {
    c.at = base::Instant(
        base::Millis(static_cast<std::int64_t>(std::round(std::clamp(unix_s, 0.0, latest_unix_s) * 1000))));
  }

  /// When the value was scraped; of an aggregate, when it was evaluated.
  static std::string timestamp(const std::string& query) { return query.empty() ? query : "timestamp(" + query + ")"; }

  void each(const std::string& query, const Set& set) {
    for (const InstantValue& value : instant(query)) {
      if (!label(value.labels, "domain").empty()) set(row(value), value.value);
    }
  }

  void each_host(const std::string& query, const Set& set) {
    for (const InstantValue& value : instant(query)) {
      if (!label(value.labels, "instance").empty()) set(row(value), value.value);
    }
  }

  model::Counters& row(const InstantValue& value) {
    const model::HostName host = host_of(label(value.labels, "instance"));
    const model::VmName vm(label(value.labels, "domain"));
    model::Counters& row = m_rows[{host, vm}];
    row.host = host;
    row.vm = vm;
    if (const std::string uuid = label(value.labels, "uuid"); !uuid.empty()) row.uuid = model::Uuid(uuid);
    return row;
  }

  model::HostName host_of(const std::string& instance) const {
    const std::string address = instance.substr(0, instance.rfind(':'));
    for (const std::string& key : {instance, address}) {
      if (const auto it = m_options.hosts.find(key); it != m_options.hosts.end()) return it->second;
    }
    return model::HostName(address);
  }

  std::vector<InstantValue> instant(const std::string& query) {
    if (query.empty()) return {};
    return base::with_context(fmt::format("asking Prometheus for {}", query), [&] {
      std::vector<std::pair<std::string, std::string>> parameters{{"query", query}};
      if (!m_instant.empty()) parameters.emplace_back("time", m_instant);
      auto values = vector_of(m_http.get(m_options.url + "/api/v1/query", parameters));
      if (m_instant.empty() && !values.empty()) m_instant = fmt::format("{:.3f}", values.front().evaluated_at);
      return values;
    });
  }

  PrometheusOptions m_options;
  Http m_http;
  std::string m_instant;  ///< the first query's, by the server's clock; the others are asked for the same
  std::map<Key, model::Counters> m_rows;
};

}  // namespace

std::unique_ptr<ports::MetricSource> prometheus(PrometheusOptions options) {
  return std::make_unique<Prometheus>(std::move(options));
}

}  // namespace umbra::metrics
