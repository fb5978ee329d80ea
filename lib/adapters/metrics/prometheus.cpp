// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/prometheus.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include "adapters/metrics/answer.hpp"
#include "adapters/metrics/grid.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::metrics {
namespace {

/// Of one series in one answer; Prometheus refuses more than 11,000.
constexpr std::size_t most_points = 10'000;
/// Of all series in one answer: some 8 MB of JSON.
constexpr std::size_t most_values = 250'000;
/// Assumed until an answer has shown how many there are.
constexpr std::size_t many_series = 2'500;

std::string replaced(std::string text, std::string_view what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

std::string unix_seconds(std::int64_t ms) {
  return fmt::format("{}.{:03}", ms / 1000, ms % 1000);
}

std::int64_t ms_of(base::Instant instant) {
  return instant.time_since_epoch().count();
}

class Prometheus final : public ports::RecordedSource {
 public:
  explicit Prometheus(PrometheusOptions options) : m_options(std::move(options)), m_http(m_options.http) {
    while (m_options.url.ends_with('/')) m_options.url.pop_back();
    m_naming = {m_options.vm_labels, [this](const std::string& instance) { return host_of(instance); }};
  }

  void range(const ports::Past& past, const Take& take) override {
    const std::int64_t step = std::max<std::int64_t>(1, std::llround(past.step.count() * 1000));
    // The server's scrapes bear its own time: ahead of it there is nothing yet, and what was half there would stay so.
    const std::int64_t end = std::min(ms_of(past.to), server_time());
    const auto newest = std::ranges::max_element(past.held, {}, [](const auto& entry) { return entry.second; });
    std::int64_t next = (std::max<std::int64_t>(ms_of(past.from), 0) + step - 1) / step * step;
    if (newest != past.held.end()) next = std::max(next, ms_of(newest->second) / step * step + step);
    std::size_t series = many_series;
    while (next <= end) {
      const auto left = static_cast<std::size_t>((end - next) / step) + 1;
      const Grid grid{next, step, std::min({left, most_points, std::max<std::size_t>(1, most_values / series)})};
      series = std::max<std::size_t>(1, chunk(grid, take));
      next += static_cast<std::int64_t>(grid.points) * step;
    }
  }

 private:
  template <class Read>
  std::invoke_result_t<Read, std::string> ask(const std::string& query, const char* path,
                                              std::vector<std::pair<std::string, std::string>> parameters, Read read) {
    return base::with_context(fmt::format("asking Prometheus for {}", query), [&] {
      parameters.emplace_back("query", query);
      return read(m_http.get(m_options.url + path, parameters));
    });
  }

  /// Asks everything for one chunk; the number of series in the largest answer.
  std::size_t chunk(const Grid& grid, const Take& take) {
    GridSeries series(grid, m_naming);
    series.add_uuids(uuids(grid));
    std::size_t most = 0;
    const PrometheusQueries& q = m_options.queries;
    using Add = void (GridSeries::*)(model::Resource, const RangeValues&);
    struct Asked {
      model::Resource resource;
      const std::string& query;
      Add add;
    };
    // Hosts and libvirt's own names first: GPUs are found by them.
    const std::array<Asked, 8> all{{{model::Resource::cpu, q.host_cpu, &GridSeries::add_host},
                                    {model::Resource::memory, q.host_memory, &GridSeries::add_host},
                                    {model::Resource::cpu, q.cpu, &GridSeries::add_vm},
                                    {model::Resource::memory, q.memory, &GridSeries::add_vm},
                                    {model::Resource::net, q.net, &GridSeries::add_vm},
                                    {model::Resource::disk, q.disk, &GridSeries::add_vm},
                                    {model::Resource::gpu, q.gpu, &GridSeries::add_vm},
                                    {model::Resource::gpu_memory, q.gpu_memory, &GridSeries::add_vm}}};
    for (const Asked& asked : all) {
      const std::vector<RangeValues> answer = matrix(asked.query, grid);
      for (const RangeValues& values : answer) (series.*asked.add)(asked.resource, values);
      most = std::max(most, answer.size());
      if (const GridSeries::Bad bad = series.take_bad(); bad.count > 0) {
        base::log(base::Level::warning,
                  fmt::format("Prometheus gives {} values that are no fraction of capacity for {}; the first: {}",
                              bad.count, asked.query, bad.first));
      }
    }
    take(std::move(series).series());
    return most;
  }

  std::vector<RangeValues> matrix(const std::string& query, const Grid& grid) {
    if (query.empty()) return {};
    const std::int64_t last = grid.first_ms + (static_cast<std::int64_t>(grid.points) - 1) * grid.step_ms;
    return ask(filled_in(query, grid), "/api/v1/query_range",
               {{"start", unix_seconds(grid.first_ms)},
                {"end", unix_seconds(last)},
                {"step", unix_seconds(grid.step_ms)},
                {"timeout", fmt::format("{}ms", m_options.http.timeout.count())}},
               matrix_of);
  }

  /// Every uuid that was told within the chunk, looked at some hundred times: a VM may have come and gone in it.
  std::vector<InstantValue> uuids(const Grid& grid) {
    if (m_options.queries.uuid.empty()) return {};
    const std::int64_t span = static_cast<std::int64_t>(grid.points) * grid.step_ms;
    const std::int64_t look = std::max(grid.step_ms, span / 100);
    const std::string query = fmt::format("last_over_time(({})[{}ms:{}ms])", filled_in(m_options.queries.uuid, grid),
                                          std::max(span, look), look);
    return ask(query, "/api/v1/query", {{"time", unix_seconds(grid.first_ms + span - grid.step_ms)}}, vector_of);
  }

  std::int64_t server_time() {
    return std::llround(std::clamp(ask("time()", "/api/v1/query", {}, time_in), 0.0, 253402300799.0) * 1000);
  }

  std::string filled_in(std::string query, const Grid& grid) const {
    const auto window = m_options.window ? std::llround(m_options.window->count() * 1000) : 2 * grid.step_ms;
    std::vector<std::string> labels{"instance", "uuid"};
    labels.insert(labels.end(), m_options.vm_labels.begin(), m_options.vm_labels.end());
    query = replaced(std::move(query), "$window", fmt::format("{}ms", window));
    query = replaced(std::move(query), "$labels", fmt::format("{}", fmt::join(labels, ", ")));
    query = replaced(std::move(query), "$net_capacity", fmt::format("{}", m_options.capacities.net.value));
    return replaced(std::move(query), "$disk_capacity", fmt::format("{}", m_options.capacities.disk.value));
  }

  model::HostName host_of(const std::string& instance) const {
    const std::string address = instance.substr(0, instance.rfind(':'));
    for (const std::string& key : {instance, address}) {
      if (const auto it = m_options.hosts.find(key); it != m_options.hosts.end()) return it->second;
    }
    return model::HostName(address);
  }

  PrometheusOptions m_options;
  Http m_http;
  Naming m_naming;
};

}  // namespace

std::unique_ptr<ports::RecordedSource> prometheus(PrometheusOptions options) {
  return std::make_unique<Prometheus>(std::move(options));
}

}  // namespace umbra::metrics
