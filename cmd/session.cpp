// SPDX-License-Identifier: Apache-2.0
#include "cmd/session.hpp"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "adapters/config/config.hpp"
#include "adapters/hooks/hooks.hpp"
#include "adapters/metrics/nvml.hpp"
#include "adapters/metrics/prometheus.hpp"
#include "adapters/metrics/trace_source.hpp"
#include "adapters/nbd/local_points.hpp"
#include "adapters/nbd/source.hpp"
#include "adapters/store/leases.hpp"
#include "adapters/store/links.hpp"
#include "adapters/store/store.hpp"
#include "adapters/stream/stream.hpp"
#include "adapters/tls/tls.hpp"
#include "adapters/traffic/traffic.hpp"
#include "adapters/virt/virt.hpp"
#include "base/error.hpp"
#include "cmd/exit_status.hpp"

namespace umbra::cmd {
namespace {

/// argv that makes a far end serve `file` by NBD on its standard input and output.
base::Argv export_argv(base::Argv argv, const ports::FileExport& file) {
  argv.insert(argv.end(), {"--export", file.path, "--format", file.format});
  if (file.bitmap) argv.insert(argv.end(), {"--bitmap", *file.bitmap});
  if (file.above) argv.insert(argv.end(), {"--above", *file.above});
  return argv;
}

constexpr base::Millis guard_deadline{30'000};      // for the guard to be in place, on a host that is busy
constexpr base::Millis end_guard_deadline{15'000};  // above its own patience with the guard

/// Told by a byte to let be; by the end of its input that nobody wants it any more: on the host's side it then goes on
/// while there is something to watch.
class SpawnedGuard final : public ports::MoveGuard {
 public:
  explicit SpawnedGuard(base::Child child) : m_child(std::move(child)) {}

  void let_be() override {
    try {
      base::write_all(m_child.to_child.get(), std::string_view("-"), "the guard");
    } catch (const base::Error&) {
      // One that has ended lets be.
    }
  }

 private:
  base::Child m_child;
};

/// Connects when first asked for, and keeps the answer.
class ConfiguredHypervisors final : public ports::Hypervisors {
 public:
  explicit ConfiguredHypervisors(const model::Config& config) : m_config(config) {}

  ports::Hypervisor& at(const model::HostName& host) override {
    auto& connection = m_connections[host];
    if (!connection) connection = virt::connect(m_config.host(host));
    return *connection;
  }

  std::vector<model::HostName> names() const override {
    std::vector<model::HostName> names;
    for (const model::HostConfig& host : m_config.hosts) names.push_back(host.name);
    return names;
  }

 private:
  const model::Config& m_config;
  std::map<model::HostName, std::unique_ptr<ports::Hypervisor>> m_connections;
};

class ConfiguredTransport final : public ports::Transport {
 public:
  explicit ConfiguredTransport(const model::Config& config) : m_config(config) {}

  std::unique_ptr<ports::PointStore> connect(const model::HostName& host) override {
    const model::HostConfig& config = m_config.host(host);
    if (!config.tls_address.empty()) return listening(config);
    if (config.receive.empty()) {  // the host is this one: no process and no stream between
      keep_others_out();
      return std::make_unique<nbd::LocalPoints>(config.images);
    }
    base::Argv argv = far_end(config);
    for (const char* word : {"--session", "--images"}) argv.emplace_back(word);
    argv.push_back(config.images);
    return base::with_context(fmt::format("the far end on {}", host.get()), [&] { return stream::connect(argv); });
  }

  std::unique_ptr<ports::BlockSource> open(const ports::NbdExport& nbd) override {
    return nbd::open_uri(nbd.uri, nbd.dirty_context);
  }

  std::unique_ptr<ports::BlockSource> open(const model::HostName& host, const ports::FileExport& file) override {
    const model::HostConfig& config = host_with_command(host, fmt::format("reading {}", file.path));
    return base::with_context(fmt::format("{} on {}", file.path, host.get()), [&] {
      if (config.receive.empty()) return nbd::open_file(file);  // the host is this one
      return nbd::open_command(export_argv(far_end(config), file), nbd::dirty_context_of(file));
    });
  }

  std::unique_ptr<ports::MoveGuard> guard_move(const model::HostName& host, const model::Uuid& vm,
                                               const std::vector<std::string>& images) override {
    const model::HostConfig& config = host_with_command(host, fmt::format("watching the move of {}", vm.get()));
    base::Argv argv = far_end(config);
    argv.insert(argv.end(), {"--guard", vm.get()});
    for (const std::string& image : images) argv.insert(argv.end(), {"--image", image});
    base::Child child = base::spawn(argv, true, true);
    if (!base::readable_within(child.from_child.get(), guard_deadline))
      throw base::Error(base::Kind::timeout, fmt::format("the guard on {} is not in place after {}", host.get(),
                                                         base::to_human(base::Seconds(guard_deadline))));
    std::array<std::byte, 1> first{};
    if (base::read_full(child.from_child.get(), first, host.get()) == 0)
      throw base::Error(base::Kind::unreachable,
                        fmt::format("the guard on {} ended: {}", host.get(), base::to_shell(argv)));
    return std::make_unique<SpawnedGuard>(std::move(child));
  }

  bool end_guard(const model::HostName& host, const model::Uuid& vm) override {
    const std::string what = fmt::format("ending the guard of {} on {}", vm.get(), host.get());
    base::Argv argv = far_end(host_with_command(host, what));
    argv.insert(argv.end(), {"--end-guard", vm.get()});
    const base::Finished told = base::run(argv, "", end_guard_deadline);
    if (told.status == exit_usage) return false;  // an older umbra there, whose guards hold nothing
    const model::Json answer = model::Json::parse(told.out, nullptr, false);
    if (told.status != 0 || !answer.is_object())
      throw base::Error(base::Kind::io,
                        fmt::format("{}: `{}` {}", what, base::to_shell(argv),
                                    told.timed_out ? "gives no answer" : fmt::format("ended with {}", told.status)),
                        fmt::format("on {}: umbra receive --end-guard {}", host.get(), vm.get()));
    return answer.value("held", false);
  }

 private:
  /// Kind::unsupported where the host is reached by TLS alone; `for_what` needs a command there.
  const model::HostConfig& host_with_command(const model::HostName& host, const std::string& for_what) const {
    const model::HostConfig& config = m_config.host(host);
    if (config.tls_address.empty() || !config.receive.empty()) return config;
    throw base::Error(
        base::Kind::unsupported, fmt::format("{}: the far end on {} takes points alone", for_what, host.get()),
        fmt::format("add a command that runs there, beside tls: [hosts.{}] receive = [\"ssh\", ...]", host.get()));
  }

  /// A far end that did not answer a moment ago is not waited for once more by each VM.
  std::unique_ptr<ports::PointStore> listening(const model::HostConfig& config) {
    constexpr base::Millis moment{30'000};
    const base::Millis now = base::system_clock().steady();
    if (const auto it = m_silent.find(config.name); it != m_silent.end() && now - it->second.since < moment)
      throw base::Error(it->second.error);
    try {
      return base::with_context(fmt::format("the far end on {}", config.name.get()),
                                [&] { return listening_far_end(config.tls_address, config.tls); });
    } catch (const base::Error& e) {
      const bool silent = e.kind() == base::Kind::unreachable || e.kind() == base::Kind::timeout;
      if (silent) m_silent.insert_or_assign(config.name, Silent{base::system_clock().steady(), e});
      throw;
    }
  }

  struct Silent {
    base::Millis since;
    base::Error error;
  };
  const model::Config& m_config;
  std::map<model::HostName, Silent> m_silent;
};

}  // namespace

void keep_others_out() {
  ::umask(S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);
}

std::unique_ptr<ports::PointStore> listening_far_end(const std::string& address, const model::TlsFiles& files) {
  const tls::Address at = base::parse_address(address);
  tls::check_complete(files, "--ca FILE --cert FILE --key FILE, or --key-file FILE");
  // Not ended by a signal: what is to be taken back then needs the far end.
  return stream::connect(tls::connect(at, files, {}, nullptr), "tls://" + at.to_string());
}

std::unique_ptr<ports::PointStore> points_in(const std::string& folder, const base::CancelToken* cancel) {
  need_folder(folder);
  keep_others_out();
  return std::make_unique<nbd::LocalPoints>(folder, cancel);
}

base::Argv far_end(const model::HostConfig& host) {
  if (!host.receive.empty()) return host.receive;
  return {std::filesystem::read_symlink("/proc/self/exe").string(), "receive"};
}

struct Session::Parts {
  std::optional<model::Config> config;
  std::optional<store::SqliteStore> store;
  std::optional<store::FileLeases> leases;
  std::optional<store::FileLinks> links;
  std::optional<ConfiguredHypervisors> hypervisors;
  std::optional<ConfiguredTransport> transport;
  std::optional<std::unique_ptr<metrics::Nvml>> nvml;  ///< null where it was looked for in vain
};

Session::Session(Common common, base::CancelToken& cancel)
    : m_common(std::move(common)),
      m_cancel(cancel),
      m_out(m_common.output, m_common.show, stdout, stderr),
      m_progress(m_common.progress_fd, m_common.quiet, base::system_clock()),
      m_parts(std::make_unique<Parts>()) {}

Session::~Session() = default;

const model::Config& Session::config() {
  if (!m_parts->config) {
    m_parts->config = config::load({m_common.config, m_common.state, m_common.connect}, config::process_environment());
  }
  return *m_parts->config;
}

namespace {

model::HostName machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return model::HostName(name.data());
}

}  // namespace

model::HostName host_here(const model::Config& config) {
  const model::HostName own = machine_name();
  if (std::ranges::count(config.hosts, own, &model::HostConfig::name) > 0) return own;
  std::set<model::HostName> elsewhere;
  for (const auto& [address, host] : config::hosts_by_address(config)) elsewhere.insert(host);
  const auto local =
      std::ranges::find_if(config.hosts, [&](const model::HostConfig& host) { return !elsewhere.contains(host.name); });
  return local == config.hosts.end() ? model::HostName() : local->name;
}

namespace {

metrics::PrometheusOptions prometheus_options(const model::Config& config) {
  const model::MetricsConfig& from = config.metrics;
  metrics::PrometheusOptions options;
  options.url = from.url;
  options.http.timeout = from.timeout;
  options.http.connect_timeout = std::min(options.http.connect_timeout, from.timeout);
  options.http.ca = from.ca;
  options.http.cert = from.cert;
  options.http.key = from.key;
  options.http.token_file = from.token_file;
  options.window = from.rate_window;
  options.capacities = from.capacities;
  options.vm_labels = from.vm_labels;
  options.hosts = config::hosts_by_address(config);
  metrics::PrometheusQueries& queries = options.queries;
  const auto set = [](std::string& to, const std::optional<std::string>& own) {
    if (own) to = *own;
  };
  set(queries.cpu, from.queries.cpu);
  set(queries.memory, from.queries.memory);
  set(queries.gpu, from.queries.gpu);
  set(queries.gpu_memory, from.queries.gpu_memory);
  set(queries.net, from.queries.net);
  set(queries.disk, from.queries.disk);
  set(queries.host_cpu, from.queries.host_cpu);
  set(queries.host_memory, from.queries.host_memory);
  set(queries.uuid, from.queries.uuid);
  return options;
}

store::SqliteStore& opened(std::optional<store::SqliteStore>& store, const std::string& dir, bool dry_run) {
  if (!store) store.emplace(dir, dry_run ? store::Access::read_only : store::Access::read_write);
  return *store;
}

}  // namespace

ports::HistoryStore& Session::history() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).history();
}
ports::ShadowRegistry& Session::shadows() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).shadows();
}
ports::PoolRegistry& Session::pool() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).pool();
}
ports::Ledger& Session::ledger() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).ledger();
}
ports::Journal& Session::journal() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).journal();
}
ports::ModelStore& Session::models() {
  return opened(m_parts->store, config().state_dir, m_common.dry_run).models();
}

ports::Leases& Session::leases() {
  if (!m_parts->leases) m_parts->leases.emplace(config().state_dir);
  return *m_parts->leases;
}

ports::LinkShares& Session::links() {
  if (!m_parts->links) m_parts->links.emplace(config().state_dir);
  return *m_parts->links;
}

ports::Hypervisors& Session::hypervisors() {
  if (!m_parts->hypervisors) m_parts->hypervisors.emplace(config());
  return *m_parts->hypervisors;
}

ports::Transport& Session::transport() {
  if (!m_parts->transport) m_parts->transport.emplace(config());
  return *m_parts->transport;
}

std::vector<std::unique_ptr<ports::MetricSource>> Session::metric_sources() {
  std::vector<std::unique_ptr<ports::MetricSource>> sources;
  if (config().metrics.source == "libvirt") {
    for (const model::HostConfig& host : config().hosts) sources.push_back(virt::metric_source(host));
  }
  return sources;
}

std::unique_ptr<ports::RecordedSource> Session::recorded_source() {
  if (config().metrics.source == "prometheus") return metrics::prometheus(prometheus_options(config()));
  if (config().metrics.source == "trace") return metrics::trace_source(config().metrics.trace);
  return nullptr;
}

model::HostName Session::this_host() {
  const model::HostName host = host_here(config());
  return host.get().empty() ? machine_name() : host;
}

std::optional<unsigned> Session::add_gpus(std::vector<model::Counters>& counters) {
  if (!m_parts->nvml) m_parts->nvml = metrics::Nvml::open(config().metrics.nvml);
  if (!*m_parts->nvml) return std::nullopt;
  const metrics::GpuReading reading = (*m_parts->nvml)->read();
  metrics::add_gpus(reading, host_here(config()), counters);
  return reading.gpus;
}

std::vector<std::unique_ptr<ports::Redirector>> Session::redirectors(const model::VmName& vm,
                                                                     const model::VmPolicy& policy) {
  std::vector<std::unique_ptr<ports::Redirector>> redirectors;
  for (const model::Redirect& one : policy.redirect)
    redirectors.push_back(traffic::redirector(model::for_vm(one, vm), clock()));
  return redirectors;
}

std::unique_ptr<ports::Probe> Session::probe(const model::VmName& vm, const model::VmPolicy& policy) {
  if (!model::is_given(policy.probe)) return nullptr;
  return traffic::probe(model::for_vm(policy.probe, vm), std::chrono::ceil<base::Millis>(policy.probe_deadline),
                        clock());
}

std::unique_ptr<ports::Fence> Session::fence() {
  const model::FenceConfig& fence = config().fence;
  if (fence.command.empty()) return nullptr;
  return hooks::fence(fence.command, fence.check, fence.timeout, clock());
}

}  // namespace umbra::cmd
