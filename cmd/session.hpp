// SPDX-License-Identifier: Apache-2.0
#pragma once
// Joins adapters to ports for one run: configuration, store, connections, output. Everything is made when first asked
// for, so that a verb pays for what it uses alone. What is a verb's own (traces and models of predict, the images of
// replicate --source, the far end of receive, what doctor and its hook look at) knows its adapter by itself.

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/cancel.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "cmd/output/output.hpp"
#include "cmd/output/progress.hpp"
#include "cmd/verb.hpp"
#include "model/config.hpp"
#include "ports/hypervisor.hpp"
#include "ports/links.hpp"
#include "ports/metric_source.hpp"
#include "ports/store.hpp"
#include "ports/switching.hpp"
#include "ports/transport.hpp"

namespace umbra::cmd {

class Session {
 public:
  Session(Common common, base::CancelToken& cancel);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Common& common() const { return m_common; }
  base::CancelToken& cancel() { return m_cancel; }
  base::Clock& clock() { return base::system_clock(); }
  Output& out() { return m_out; }
  Progress& progress() { return m_progress; }

  const model::Config& config();
  ports::HistoryStore& history();
  ports::ShadowRegistry& shadows();
  ports::PoolRegistry& pool();
  ports::Ledger& ledger();
  ports::Journal& journal();
  ports::ModelStore& models();
  ports::Leases& leases();
  ports::LinkShares& links();
  ports::Hypervisors& hypervisors();
  /// Hosts that did not answer in this run: --all need not wait for each of them once per VM.
  std::map<model::HostName, base::Error>& silent_hosts() { return m_silent_hosts; }
  ports::Transport& transport();

  /// Where samples come from as the configuration says: one source of counters per host, or else, where it is not null,
  /// one that has recorded them for all.
  std::vector<std::unique_ptr<ports::MetricSource>> metric_sources();
  std::unique_ptr<ports::RecordedSource> recorded_source();
  /// The configured host that is this machine; where none is, this machine's name.
  model::HostName this_host();
  /// Puts this machine's GPUs into the counters of its VMs and its own; how many there are, nothing where there is no
  /// driver for them.
  std::optional<unsigned> add_gpus(std::vector<model::Counters>& counters);
  /// What is called once the VM has moved, in that order; and how it is seen whether it serves, nothing where that is
  /// not configured.
  std::vector<std::unique_ptr<ports::Redirector>> redirectors(const model::VmName& vm, const model::VmPolicy& policy);
  std::unique_ptr<ports::Probe> probe(const model::VmName& vm, const model::VmPolicy& policy);
  /// Null where none is configured.
  std::unique_ptr<ports::Fence> fence();

 private:
  struct Parts;
  Common m_common;
  base::CancelToken& m_cancel;
  Output m_out;
  Progress m_progress;
  std::unique_ptr<Parts> m_parts;
  std::map<model::HostName, base::Error> m_silent_hosts;
};

/// The far end that listens at an address. Kind::usage where the files are not complete.
std::unique_ptr<ports::PointStore> listening_far_end(const std::string& address, const model::TlsFiles& files);

/// From now on what this process makes can be read and written by its user alone: disks are for root, and for whom
/// libvirt hands them to.
void keep_others_out();

/// Points in a folder of this machine. Kind::not_found where there is none.
std::unique_ptr<ports::PointStore> points_in(const std::string& folder, const base::CancelToken* cancel);

/// The host that is this machine: by this machine's name, or else the one whose URI names no other; empty where there
/// is none.
model::HostName host_here(const model::Config& config);

/// argv that starts the far end of `host`; this very program where none is configured.
base::Argv far_end(const model::HostConfig& host);

}  // namespace umbra::cmd
