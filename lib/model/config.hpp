// SPDX-License-Identifier: Apache-2.0
#pragma once
// The configuration as plain values, after defaults and checks. adapters/config reads it from TOML.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/process.hpp"
#include "model/ids.hpp"
#include "model/metrics.hpp"
#include "model/redirect.hpp"
#include "model/sections.hpp"

namespace umbra::model {

/// The files by which the two ends of TLS know each other: certificates of one CA, or a key that both have.
struct TlsFiles {
  std::string ca{};
  std::string cert{};  ///< this side's own, with its key
  std::string key{};
  std::string crl{};  ///< of each CA in the chain; empty: nothing is revoked
  std::string key_file{};
  bool given() const { return !(ca + cert + key + crl + key_file).empty(); }
  /// A CA with an own certificate and its key, or a key file, and not both.
  bool complete() const {
    const int certificates = int(!ca.empty()) + int(!cert.empty()) + int(!key.empty());
    return key_file.empty() ? certificates == 3 : certificates == 0 && crl.empty();
  }
};

struct HostConfig {
  HostName name;
  std::string uri;       ///< as this machine connects
  std::string peer_uri;  ///< as the other hosts connect for a migration; the same as `uri` where not set
  std::string images = "/var/lib/libvirt/images";
  base::Argv receive;                           ///< starts the far end on that host; empty: this machine runs it itself
  std::string tls_address;                      ///< where the far end listens on that host; empty: `receive` starts it
  TlsFiles tls;                                 ///< with tls_address
  std::string nbd_listen;                       ///< address of a primary's pull-mode export; empty: a local socket
  std::map<std::string, std::string> networks;  ///< the others' network -> this host's
  std::optional<ByteRate> link;                 ///< how fast it reaches the other hosts; usual_link where not set
  std::optional<ByteRate> limit;                ///< what all replication from it together may take of that
};

enum class After { hibernate, decommission };
std::string_view to_string(After after);

/// How far ahead a forecast may look.
inline constexpr base::Seconds shortest_window{60};
inline constexpr base::Seconds longest_window{6 * 3600};

/// What holds for one VM once every matching [vms."pattern"] is applied.
struct VmPolicy {
  Priority priority = Priority::normal;
  base::Seconds window{1800};  ///< shortest_window to longest_window
  base::Seconds rpo{300};
  std::map<Resource, Fraction> saturation;  ///< where absent, the forecast learns it or has a default
  std::vector<Redirect> redirect;           ///< called in this order
  ProbeWay probe;                           ///< of the VM's health
  base::Seconds probe_deadline{10};
  bool roll_back_on_failed_probe = true;
  After after = After::hibernate;
  base::Seconds rollback_window{3600};
  unsigned retain = 3;                      ///< points kept on the shadow
  std::optional<base::Seconds> retain_for;  ///< how old they may become; absent: their number alone counts
  base::Millis downtime_limit{300};         ///< allowed blackout
  // No switchover is begun of which more is expected; absent: any is.
  std::optional<base::Millis> blackout_limit;
  std::optional<base::Seconds> brownout_limit;  ///< nor goes on for longer
  std::optional<ByteCount> bytes_limit;         ///< last delta and migration together
  bool auto_converge = true;          ///< the guest may be slowed where it changes memory too fast to be moved
  bool postcopy = false;              ///< it may be moved before its memory is, where nothing else helps
  bool quiesce = true;                ///< a switchover freezes the file systems for its point, where there is an agent
  std::optional<ByteRate> bandwidth;  ///< of replication and migration
  std::vector<HostName> candidates;   ///< empty: every host
};

/// What one [vms."pattern"] sets; absent where it leaves what earlier patterns gave.
struct VmOverrides {
  std::optional<Priority> priority;
  std::optional<base::Seconds> window;
  std::optional<base::Seconds> rpo;
  std::map<Resource, Fraction> saturation;  ///< resource by resource
  std::optional<std::vector<Redirect>> redirect;
  std::optional<ProbeWay> probe;
  std::optional<base::Seconds> probe_deadline;
  std::optional<bool> roll_back_on_failed_probe;
  std::optional<After> after;
  std::optional<base::Seconds> rollback_window;
  std::optional<unsigned> retain;
  std::optional<base::Seconds> retain_for;
  std::optional<base::Millis> downtime_limit;
  std::optional<base::Millis> blackout_limit;
  std::optional<base::Seconds> brownout_limit;
  std::optional<ByteCount> bytes_limit;
  std::optional<bool> auto_converge;
  std::optional<bool> postcopy;
  std::optional<bool> quiesce;
  std::optional<ByteRate> bandwidth;
  std::optional<std::vector<HostName>> candidates;
  void apply_to(VmPolicy& policy) const;
};

struct VmPattern {
  std::string pattern;  ///< a shell pattern over VM names
  VmOverrides overrides;
  bool matches(const VmName& vm) const;
};

/// A kind of ready-made shadow.
struct Flavour {
  std::string name;
  HostName host;
  ByteCount memory;
  unsigned vcpus = 1;
  std::vector<ByteCount> disks;
  unsigned count = 1;  ///< how many to keep ready
};

/// Below this a history would be cut before its newest samples are packed.
inline constexpr ByteCount smallest_history{16ull << 20};

/// PromQL in place of the source's own; absent: its own.
struct MetricQueries {
  std::optional<std::string> cpu;
  std::optional<std::string> memory;
  std::optional<std::string> gpu;
  std::optional<std::string> gpu_memory;
  std::optional<std::string> net;
  std::optional<std::string> disk;
  std::optional<std::string> host_cpu;
  std::optional<std::string> host_memory;
  std::optional<std::string> uuid;
};

struct MetricsConfig {
  std::string source = "libvirt";            ///< "libvirt", "prometheus", "trace"
  std::string url;                           ///< of Prometheus
  std::string trace;                         ///< the file or folder
  base::Seconds step{60};                    ///< between two samples of Prometheus
  std::optional<base::Seconds> rate_window;  ///< over which rates and means are taken; two steps where not set
  base::Millis timeout{30000};               ///< of one request
  std::string ca;                            ///< file of certificates; empty: the system's store
  std::string cert;                          ///< this client's own, with its key
  std::string key;
  std::string token_file;
  std::vector<std::string> vm_labels{"domain", "vm", "Hostname"};  ///< the first that is there names the VM
  MetricQueries queries;
  std::string nvml = "libnvidia-ml.so.1";  ///< the library of NVIDIA's driver, opened where it is there
  Capacities capacities;
  base::Seconds keep{90 * 86400.0};  ///< how far the history reaches back
  ByteCount max_size{2ull << 30};    ///< of the history
};

struct PlaceConfig {
  std::map<std::string, double> weights;  ///< per term; absent: 1
  Fraction headroom{0.1};                 ///< of a host's memory and CPU to leave free
  double cpu_overcommit = 1;              ///< CPUs that may be counted on per real CPU; above 1 they are shared
};

struct ReplicateConfig {
  base::Seconds every{60};  ///< how often `umbra replicate --due` is run
};

/// How a host that gives no answer is made sure to run nothing any more.
struct FenceConfig {
  base::Argv command;            ///< "{host}" is its name; empty: there is no fence
  base::Argv check;              ///< succeeds once the host is off; empty: the command's own success is the proof
  base::Millis timeout{60'000};  ///< of the two together
};

/// One value and where it came from, for `umbra doctor --show-config`.
struct Origin {
  std::string key;
  std::string value;
  std::string where;  ///< "/etc/umbra/umbra.toml:12", "--state", "UMBRA_CONNECT", "default"
};

struct Config {
  std::string state_dir;
  std::vector<HostConfig> hosts;
  bool hosts_given = true;     ///< false: nothing names a host, `hosts` holds libvirt's default alone
  std::vector<VmPattern> vms;  ///< in the order of the file; a later one that matches wins, key by key
  std::vector<Flavour> pool;
  MetricsConfig metrics;
  PlaceConfig place;
  ReplicateConfig replicate;
  FenceConfig fence;
  std::vector<Origin> origins;

  /// The host of that name; Kind::not_found with the known names.
  const HostConfig& host(const HostName& name) const;
  /// The defaults, then what each matching pattern sets, in their order.
  VmPolicy policy(const VmName& vm) const;
  /// What a VM's copies and migrations get from one host to the other: the slower of their links, or the VM's own
  /// limit.
  ByteRate rate_between(const HostConfig& a, const HostConfig& b, const VmPolicy& policy) const;
};

}  // namespace umbra::model
