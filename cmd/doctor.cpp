// SPDX-License-Identifier: Apache-2.0
// umbra doctor: is everything ready, and how to make it so.
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "adapters/tls/tls.hpp"
#include "adapters/xgb/booster.hpp"
#include "base/text.hpp"
#include "cmd/exit_status.hpp"
#include "cmd/keepalive.hpp"
#include "cmd/session.hpp"
#include "cmd/start_hook.hpp"
#include "cmd/verb.hpp"
#include "place/score.hpp"

namespace umbra::cmd {
namespace {

enum class Health { good, warn, bad };

struct Finding {
  std::string where;
  std::string what;
  Health health = Health::good;
  std::string found;
  std::string fix;  ///< what to type; empty where all is well
};

std::string_view to_string(Health health) {
  switch (health) {
    case Health::good:
      return "ok";
    case Health::warn:
      return "warning";
    case Health::bad:
      return "bad";
  }
  return "bad";
}

/// Runs a check; what it throws becomes the finding.
template <class Check>
Finding examine(std::string where, std::string what, Check check) {
  Finding finding{std::move(where), std::move(what), Health::good, "", ""};
  try {
    check(finding);
  } catch (const base::Error& error) {
    finding.health = Health::bad;
    finding.found = error.what();
    finding.fix = error.hint();
  }
  return finding;
}

void check_configuration(Session& session, Finding& f) {
  const auto& origins = session.config().origins;
  std::string files;
  for (const model::Origin& origin : origins) {
    const std::string file = origin.where.substr(0, origin.where.find(':'));
    if (file.find('/') != std::string::npos && files.find(file) == std::string::npos)
      files += (files.empty() ? "" : ", ") + file;
  }
  f.found = files.empty() ? "no file; one host from the environment or libvirt's default" : "read from " + files;
  place::check_weights(session.config().place.weights);
  if (session.config().hosts.size() < 2) {
    f.health = Health::warn;
    f.found += "; a shadow needs a second host";
    f.fix = "add a [hosts.NAME] table per host, as in examples/umbra.toml";
  }
}

void check_state(Session& session, Finding& f) {
  const std::size_t open = session.journal().open_walks().size();
  f.found = session.config().state_dir;
  if (open > 0) {
    f.health = Health::bad;
    f.found += fmt::format("; {} interrupted switchover(s)", open);
    f.fix = "umbra switchover --recover";
  }
}

/// XGBoost is exercised, not just loaded: a tree must learn a step.
void check_xgboost(Finding& f) {
  const std::array<float, 8> x{0, 1, 2, 3, 4, 5, 6, 7};
  const std::array<float, 8> y{0, 0, 0, 0, 1, 1, 1, 1};
  const xgb::Booster booster = xgb::Booster::train(
      {x, x.size(), 1}, y, {{{"objective", "reg:squarederror"}, {"min_child_weight", "0"}}, 50, 1, 1});
  const std::vector<float> answer = booster.predict({x, x.size(), 1});
  f.found = "XGBoost " + xgb::version();
  if (answer.front() > 0.2F || answer.back() < 0.8F) {
    f.health = Health::bad;
    f.found += " does not learn a step function";
    f.fix = "apt-get install --reinstall libxgboost0";
  }
}

/// Whether the source of samples answers, and what it has of the last minutes.
void check_samples(Session& session, Finding& f) {
  const model::MetricsConfig& metrics = session.config().metrics;
  const auto source = session.recorded_source();
  if (!source) {
    f.found = "from libvirt, where each host is";
    return;
  }
  const base::Instant now = session.clock().now();
  const base::Millis past = std::chrono::ceil<base::Millis>(metrics.step * 5);
  std::set<model::Uuid> vms;
  source->range({now - past, now, metrics.step, {}}, [&](const std::vector<model::Series>& piece) {
    for (const model::Series& series : piece) {
      if (!series.vm.get().empty()) vms.insert(series.uuid);
    }
  });
  f.found = fmt::format("{} VM(s) in the last {} of {}", vms.size(), base::to_human(past),
                        metrics.source == "trace" ? metrics.trace : base::without_credentials(metrics.url));
  if (!vms.empty()) return;
  f.health = Health::warn;
  f.fix = metrics.source == "trace" ? "let what writes the trace run"
                                    : "scrape the hosts' libvirt exporters, or set [metrics.queries]";
}

void check_gpus(Session& session, Finding& f) {
  std::vector<model::Counters> none;
  const auto count = session.add_gpus(none);
  f.found = count ? fmt::format("{} by {}", *count, session.config().metrics.nvml)
                  : fmt::format("none: no driver with {} on this machine", session.config().metrics.nvml);
}

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    if (::access((std::filesystem::path(rest.substr(0, end)) / program).c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

void check_tools(Finding& f) {
  for (const char* tool : {"qemu-img", "qemu-nbd"}) {
    if (on_path(tool)) continue;
    f.health = Health::bad;
    f.found += fmt::format("{}{} is not on the PATH", f.found.empty() ? "" : "; ", tool);
    f.fix = "apt-get install qemu-utils";
  }
  if (f.found.empty()) f.found = "qemu-img, qemu-nbd";
}

void check_libvirt(Session& session, const model::HostConfig& host, std::map<std::string, std::string>& identities,
                   Finding& f) {
  const model::HostFacts facts = session.hypervisors().at(host.name).facts();
  f.found = fmt::format("{}: libvirt {}, QEMU {}, {} CPUs, {:.1f} GiB", host.uri, facts.libvirt_version,
                        facts.qemu_version, facts.cpus, static_cast<double>(facts.memory.value) / (1u << 30));
  if (facts.uuid.empty()) return;
  const auto [twin, is_new] = identities.emplace(facts.uuid, host.name.get());
  if (!is_new) {
    f.health = Health::bad;
    f.found += fmt::format("; it says that it is the same host as {}", twin->second);
    f.fix = "point each host's uri at a machine of its own, or set a different host_uuid in its libvirtd.conf";
  }
}

void check_far_end(Session& session, const model::HostConfig& host, Finding& f) {
  const model::ByteCount free = session.transport().connect(host.name)->free_space();
  const std::string way = host.tls_address.empty() ? base::to_shell(far_end(host)) : "tls://" + host.tls_address;
  f.found = fmt::format("`{}` answers; {:.1f} GiB free in {}", way, static_cast<double>(free.value) / (1u << 30),
                        host.images);
  if (free.value < (1ull << 30)) {
    f.health = Health::warn;
    f.fix = fmt::format("free space in {} on {}", host.images, host.name.get());
  }
}

/// The certificate by which this machine shows a listening far end who it is.
void check_certificate(Session& session, const model::HostConfig& host, Finding& f) {
  constexpr base::Seconds soon{30 * 86400.0};
  const std::optional<base::Instant> end = tls::certificate_end(host.tls);
  const base::Seconds left = *end - session.clock().now();
  f.found = fmt::format("{} is good until {}", host.tls.cert, base::to_rfc3339(*end));
  if (left > soon) return;
  f.health = left.count() > 0 ? Health::warn : Health::bad;
  if (left.count() <= 0) f.found = fmt::format("{} expired on {}", host.tls.cert, base::to_rfc3339(*end));
  f.fix = fmt::format("have {} renewed by its CA; nothing needs a restart", host.tls.cert);
}

void check_agents(Session& session, const model::HostConfig& host, Finding& f) {
  unsigned running = 0;
  std::string silent;
  for (const model::Domain& domain : session.hypervisors().at(host.name).domains()) {
    if (domain.state != model::DomainState::running) continue;
    ++running;
    if (!domain.agent) silent += (silent.empty() ? "" : ", ") + domain.name.get();
  }
  f.found = fmt::format("{} VM(s) run here", running);
  if (silent.empty()) return;
  f.health = Health::warn;
  f.found += fmt::format("; no guest agent in {}: their file systems can't be frozen for a point", silent);
  f.fix = "in the guest: apt-get install qemu-guest-agent";
}

/// Libvirt's own refusal to start an old copy; of other machines that can't be seen from here.
void examine_hook(Session& session, std::vector<Finding>& findings) {
  HookHere hook;
  Finding finding = examine("here", "start hook", [&](Finding& f) {
    hook = hook_here(session);
    f.found = hook.file.string() + " is in place";
    if (hook.in_place) return;
    f.health = Health::warn;
    f.found = "a plain `virsh start` of an old copy is not refused here";
    f.fix = "umbra doctor --install-hook";
  });
  if (hook.host.get().empty()) return;
  finding.where = hook.host.get();
  findings.push_back(std::move(finding));
}

/// A pattern for which any VM would do: without "{vm}", and so the same for all that match.
model::VmPolicy same_for_all(const model::VmPattern& pattern) {
  const model::VmName any("x");
  model::VmPolicy policy;
  pattern.overrides.apply_to(policy);
  std::erase_if(policy.redirect, [&](const model::Redirect& one) { return model::for_vm(one, any) != one; });
  if (model::for_vm(policy.probe, any) != policy.probe) policy.probe = {};
  return policy;
}

/// Whose redirectors and probes are looked at: what patterns say for all VMs, and for those that have a shadow.
std::vector<std::pair<model::VmName, model::VmPolicy>> policies_to_look_at(Session& session) {
  std::vector<std::pair<model::VmName, model::VmPolicy>> policies;
  for (const model::VmPattern& pattern : session.config().vms) {
    const bool one_vm = pattern.pattern.find_first_of("*?[\\") == std::string::npos;
    const model::VmName vm(pattern.pattern);
    policies.emplace_back(vm, one_vm ? session.config().policy(vm) : same_for_all(pattern));
  }
  try {
    for (const ports::ShadowRow& row : session.shadows().all())
      policies.emplace_back(row.vm, session.config().policy(row.vm));
  } catch (const base::Error&) {
    // What is wrong with the state is a finding of its own.
  }
  return policies;
}

/// Whether what points clients at VMs, and what tells whether they are served, is there and answers; each once.
void examine_redirection(Session& session, std::vector<Finding>& findings) {
  std::set<std::string> seen;
  const auto look = [&](const std::string& what, auto& one, Health where_it_fails) {
    if (!seen.insert(what + one.name()).second) return;
    findings.push_back(examine("here", what + " " + one.name(), [&](Finding& f) { f.found = one.look(); }));
    if (findings.back().health == Health::bad) findings.back().health = where_it_fails;
  };
  for (const auto& [vm, policy] : policies_to_look_at(session)) {
    for (const auto& redirector : session.redirectors(vm, policy)) look("redirector", *redirector, Health::bad);
    // A VM that is off answers no probe either.
    if (const auto probe = session.probe(vm, policy)) look("probe", *probe, Health::warn);
  }
  if (seen.empty()) findings.push_back({"here", "redirectors", Health::good, "none are configured", ""});
}

std::vector<Finding> examine_all(Session& session) {
  std::vector<Finding> findings;
  findings.push_back(examine("here", "configuration", [&](Finding& f) { check_configuration(session, f); }));
  if (findings.back().health == Health::bad) return findings;
  findings.push_back(examine("here", "state", [&](Finding& f) { check_state(session, f); }));
  findings.push_back(examine("here", "model library", check_xgboost));
  findings.push_back(examine("here", "samples", [&](Finding& f) { check_samples(session, f); }));
  findings.push_back(examine("here", "GPUs", [&](Finding& f) { check_gpus(session, f); }));
  examine_redirection(session, findings);
  bool local = false;
  for (const model::HostConfig& host : session.config().hosts)
    local = local || (host.receive.empty() && host.tls_address.empty());
  if (local) findings.push_back(examine("here", "disk tools", check_tools));
  std::map<std::string, std::string> identities;
  const auto keepalives = keepalive_findings(session.config());
  for (const model::HostConfig& host : session.config().hosts) {
    const std::string& name = host.name.get();
    findings.push_back(examine(name, "libvirt", [&](Finding& f) { check_libvirt(session, host, identities, f); }));
    const bool reachable = findings.back().health != Health::bad;
    findings.push_back(examine(name, "far end", [&](Finding& f) { check_far_end(session, host, f); }));
    if (const auto keepalive = keepalives.find(host.name); keepalive != keepalives.end()) {
      const auto& [found, fix] = keepalive->second;
      findings.push_back({name, "keepalive", fix.empty() ? Health::good : Health::warn, found, fix});
    }
    if (!host.tls.cert.empty())
      findings.push_back(examine(name, "certificate", [&](Finding& f) { check_certificate(session, host, f); }));
    if (reachable)
      findings.push_back(examine(name, "guest agents", [&](Finding& f) { check_agents(session, host, f); }));
  }
  examine_hook(session, findings);
  return findings;
}

int run_doctor(Session& session) {
  const std::vector<Finding> findings = examine_all(session);
  Listing listing(session.out(), {"WHERE", "WHAT", "STATE", "FOUND"});
  std::string fixes;
  bool sound = true;
  for (const Finding& f : findings) {
    sound = sound && f.health != Health::bad;
    const Tone tone = f.health == Health::good ? Tone::good : f.health == Health::warn ? Tone::warn : Tone::bad;
    listing.add(
        {{"where", f.where}, {"what", f.what}, {"state", to_string(f.health)}, {"found", f.found}, {"fix", f.fix}},
        {f.where, f.what, Cell(std::string(to_string(f.health)), tone), f.found});
    if (f.health != Health::good && !f.fix.empty()) fixes += fmt::format("  {} {}: {}\n", f.where, f.what, f.fix);
  }
  listing.finish();
  if (!session.out().json() && !fixes.empty()) session.out().text("To mend it:\n" + fixes);
  return sound ? exit_done : exit_failed;
}

/// Every value that is in force, and where it came from.
int show_configuration(Session& session) {
  Listing listing(session.out(), {"KEY", "VALUE", "FROM"});
  for (const model::Origin& origin : session.config().origins)
    listing.add({{"key", origin.key}, {"value", origin.value}, {"where", origin.where}},
                {origin.key, origin.value, origin.where});
  listing.finish();
  return exit_done;
}

}  // namespace

Verb doctor_verb() {
  auto show_config = std::make_shared<bool>(false);
  auto install = std::make_shared<bool>(false);
  auto host = std::make_shared<std::string>();
  auto hook = std::make_shared<std::string>();
  Verb verb;
  verb.name = "doctor";
  verb.summary = "Check that hosts, far ends and state are ready, each finding with its fix";
  verb.text =
      "Exits with 1 where something must be mended before Umbra can work. Changes nothing but with --install-hook, "
      "which "
      "makes libvirt on this host refuse to start a VM of an old epoch, also by a plain `virsh start`: a shadow, a "
      "hibernated primary, one that was leaving, or one that runs elsewhere or of which the host of its shadow knows a "
      "newer epoch or gives no answer. To be run on each host that runs VMs. What [vms] names to redirect clients and "
      "to probe VMs is looked at for "
      "every VM that has a shadow, and for every pattern that needs no VM's name.";
  verb.changes = true;
  verb.operands = Operands::none;
  verb.options = {
      {"--show-config", "", "show every value of the configuration and where it came from", "", set_flag(*show_config)},
      {"--install-hook", "", "install libvirt's hook on this host", "", set_flag(*install)},
      {"--host", "NAME", "with --install-hook: which of the configured hosts this machine is", "by its name",
       set_text(*host)},
      {"--hook", "HOST", "answer libvirt's hook on that host: the domain's XML on standard input", "",
       set_text(*hook)}};
  verb.examples = {"umbra doctor", "umbra doctor --show-config", "umbra doctor --install-hook",
                   "umbra doctor -o jsonl | jq 'select(.state != \"ok\")'"};
  verb.run = [show_config, install, host, hook](Session& session) {
    if (!host->empty() && !*install)
      throw base::Error(base::Kind::usage, "--host goes with --install-hook alone", "umbra doctor --help");
    if (!hook->empty()) return answer_hook(session, model::HostName(*hook));
    if (*install) return install_hook(session, *host);
    return *show_config ? show_configuration(session) : run_doctor(session);
  };
  return verb;
}

}  // namespace umbra::cmd
