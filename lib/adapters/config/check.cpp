// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration that no single key shows.
#include <fmt/core.h>

#include <algorithm>

#include "adapters/config/document.hpp"
#include "base/text.hpp"
#include "model/units.hpp"

namespace umbra::config {
namespace {

class Checks {
 public:
  explicit Checks(Document& document) : m_document(document) {
    for (const model::HostConfig& host : document.config.hosts) m_hosts.push_back(host.name.get());
  }

  void hosts() {
    for (const model::HostConfig& host : m_document.config.hosts) {
      const std::string path = join_path("hosts", host.name.get());
      require(path, "uri", "a libvirt URI, such as uri = \"qemu+ssh://root@beta/system\"");
      tls(path, host);
    }
  }

  void patterns() {
    for (const model::VmPattern& vm : m_document.config.vms) {
      const std::string path = join_path("vms", vm.pattern);
      if (const auto window = vm.overrides.window;
          window && (*window < model::shortest_window || *window > model::longest_window))
        problem(path + ".window", fmt::format("{}.window must be 1m to 6h, not {}", path, base::to_human(*window)));
      if (vm.overrides.redirect) redirectors(path, *vm.overrides.redirect);
      if (!vm.overrides.candidates) continue;
      for (const model::HostName& host : *vm.overrides.candidates) must_be_host(path + ".candidates", host);
    }
  }

  void pool() {
    for (const model::Flavour& flavour : m_document.config.pool) {
      const std::string path = join_path("pool", flavour.name);
      require(path, "host", "the host that keeps these shadows, such as host = \"beta\"");
      require(path, "memory", "a size, such as memory = \"2GiB\"");
      require(path, "disks", "a list of sizes, such as disks = [\"20GiB\"]");
      if (!flavour.host.get().empty()) must_be_host(path + ".host", flavour.host);
    }
  }

  void metrics() {
    const model::MetricsConfig& metrics = m_document.config.metrics;
    if (metrics.source == "prometheus" && metrics.url.empty())
      problem("metrics.source", "metrics.source is \"prometheus\", but metrics.url does not say where it is");
    if (metrics.max_size < model::smallest_history)
      problem("metrics.max_size",
              fmt::format("metrics.max_size must be 16MiB or more, not {}", model::to_human(metrics.max_size)));
    if (metrics.source == "trace" && metrics.trace.empty())
      problem("metrics.source", "metrics.source is \"trace\", but metrics.trace does not say which file or folder");
    if (metrics.cert.empty() != metrics.key.empty())
      problem(metrics.cert.empty() ? "metrics.key" : "metrics.cert", "metrics.cert and metrics.key go together");
    if (metrics.url.starts_with("http://") && !(metrics.ca + metrics.cert).empty())
      problem("metrics.url", "metrics.url is http://, where metrics.ca and metrics.cert protect nothing: use https://");
    if (metrics.step < base::Seconds{1} || metrics.step > base::Seconds{3600})
      problem("metrics.step", fmt::format("metrics.step must be 1s to 1h, not {}", base::to_human(metrics.step)));
  }

 private:
  void tls(const std::string& host_path, const model::HostConfig& host) {
    const std::string path = host_path + ".tls";
    if (!host.tls.given() && host.tls_address.empty()) return;
    // A group has no place of its own: that of its first key will do.
    const auto first = m_document.places.lower_bound(path + ".");
    const std::string where = first == m_document.places.end() ? host_path : first->first;
    if (host.tls_address.empty()) problem(where, path + " has no address, such as address = \"beta:7900\"");
    if (!host.tls.complete()) problem(where, path + " takes either ca, cert and key together, or key_file");
  }

  /// What stands for hosts in them must name hosts.
  void redirectors(const std::string& vm_path, const std::vector<model::Redirect>& redirectors) {
    for (std::size_t i = 0; i < redirectors.size(); ++i) {
      const std::string path = fmt::format("{}.redirect[{}]", vm_path, i + 1);
      const auto must_be_hosts = [&](const char* key, const std::map<std::string, std::string>& per_host) {
        for (const auto& entry : per_host) must_be_host(join_path(path, key), model::HostName(entry.first));
      };
      if (const auto* haproxy = std::get_if<model::HaproxyChange>(&redirectors[i].what)) {
        must_be_hosts("servers", haproxy->servers);
        must_be_hosts("addresses", haproxy->addresses);
      } else if (const auto* route = std::get_if<model::RouteChange>(&redirectors[i].what)) {
        must_be_hosts("via", route->via);
      }
    }
  }

  void problem(const std::string& path, std::string text) {
    m_document.problems.push_back({m_document.places[path], std::move(text)});
  }

  /// A key that is there with a wrong value was reported already.
  void require(const std::string& table, const std::string& key, const std::string& what) {
    const std::string path = table + "." + key;
    if (m_document.places.contains(path)) return;
    for (const Problem& known : m_document.problems) {
      if (known.text.starts_with(path + " must be") || known.text.starts_with(table + " must be")) return;
    }
    problem(table, fmt::format("[{}] has no {}; add {}", table, key, what));
  }

  void must_be_host(const std::string& path, const model::HostName& host) {
    if (std::find(m_hosts.begin(), m_hosts.end(), host.get()) != m_hosts.end()) return;
    problem(path, fmt::format("{} names the host \"{}\", which has no [hosts.{}]{}", path, host.get(), host.get(),
                              base::did_you_mean(host.get(), m_hosts)));
  }

  Document& m_document;
  std::vector<std::string> m_hosts;
};

}  // namespace

void Document::check() {
  Checks checks(*this);
  checks.hosts();
  checks.patterns();
  checks.pool();
  checks.metrics();
}

}  // namespace umbra::config
