// SPDX-License-Identifier: Apache-2.0
// umbra place: the host that fits best.
#include "place/place.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cmd/records.hpp"
#include "cmd/session.hpp"
#include "cmd/verb.hpp"

namespace umbra::cmd {
namespace {

struct PlaceOptions {
  std::vector<std::string> only;
};

/// What this run has placed on each host: it is not there yet, but its room is spoken for.
using Placed = std::map<model::HostName, std::vector<place::Need>>;

const RecordTable& place_table() {
  static const RecordTable table{
      {"VM", "FROM", "TO", "SCORE", "MOVE TAKES", "TERMS", "REJECTED"},
      [](const model::Record& record) -> std::vector<Cell> {
        const model::Vm vm = record.vm();
        const auto placement = record.placement();
        if (!placement) return {vm.name.get(), vm.host.get(), Cell("-", Tone::faint), "-", "-", "no trigger", "-"};
        std::vector<std::string> terms;
        for (const auto& [name, value] : placement->terms) terms.push_back(fmt::format("{} {:.2f}", name, value));
        std::vector<std::string> rejected;
        for (const auto& [host, why] : placement->rejected) rejected.push_back(fmt::format("{}: {}", host.get(), why));
        return {vm.name.get(),
                vm.host.get(),
                Cell(placement->host.get(), Tone::good),
                fmt::format("{:.2f}", placement->score),
                base::to_human(base::Seconds(placement->migration_s)),
                fmt::format("{}", fmt::join(terms, ", ")),
                rejected.empty() ? "-" : fmt::format("{}", fmt::join(rejected, "; "))};
      }};
  return table;
}

/// Everything that `place` must know of one host; a host that can't be asked says why.
place::Candidate candidate_of(Session& session, const model::HostConfig& host, const model::HostConfig& from,
                              const model::Domain& domain) {
  const bool own = host.name == from.name;
  place::Candidate candidate;
  candidate.host = host.name;
  candidate.link = session.config().rate_between(from, host, session.config().policy(domain.name));
  candidate.networks = host.networks;
  try {
    check_answers(session, host.name);
    ports::Hypervisor& hypervisor = session.hypervisors().at(host.name);
    candidate.facts = hypervisor.facts();
    if (!own) {
      candidate.cpu = hypervisor.can_run_cpu_of(domain);
      candidate.facts.images_free = session.transport().connect(host.name)->free_space();
    }
    const base::Instant recent = session.clock().now() - std::chrono::minutes{10};
    const model::Series use = session.history().series(model::Uuid("host:" + host.name.get()), recent);
    if (!use.samples.empty()) {
      if (const auto cpu = use.samples.back()[model::Resource::cpu]) candidate.facts.cpu_used = model::Fraction{*cpu};
    }
  } catch (const base::Error& error) {
    if (error.kind() == base::Kind::unreachable) session.silent_hosts().emplace(host.name, error);
    candidate.unreachable = error.what();
  }
  return candidate;
}

model::ByteCount disk_size(const model::Domain& domain) {
  model::ByteCount sum;
  for (const model::Disk& disk : domain.disks) sum += disk.allocated.value == 0 ? disk.size : disk.allocated;
  return sum;
}

bool wanted(const model::VmPolicy& policy, const PlaceOptions& options, const model::HostName& host) {
  const auto& only = options.only;
  if (!only.empty()) return std::find(only.begin(), only.end(), host.get()) != only.end();
  const auto& among = policy.candidates;
  return among.empty() || std::find(among.begin(), among.end(), host) != among.end();
}

void place_one(Session& session, const PlaceOptions& options, Placed& placed, model::Record& record) {
  for (const std::string& host : options.only) session.config().host(model::HostName(host));  // a name that is none
  const model::Vm vm = record.vm();
  const model::Domain domain = primary_of(session, vm);
  const auto row = shadow_row_of(session, vm);
  const model::VmPolicy policy = session.config().policy(vm.name);
  std::vector<place::Candidate> candidates;
  for (const model::HostConfig& host : session.config().hosts) {
    if (host.name != vm.host && !wanted(policy, options, host.name)) continue;
    candidates.push_back(candidate_of(session, host, session.config().host(vm.host), domain));
    for (const place::Need& other : placed[host.name]) place::reserve(candidates.back(), other);
  }
  const bool seeded = row && row->level >= model::ShadowLevel::seeded;
  const place::Need need =
      place::need_of(domain, vm.host, find_forecast(session, record), seeded ? model::ByteCount{} : disk_size(domain));
  const model::Placement placement = place::place(need, candidates, session.config().place);
  placed[placement.host].push_back(need);
  record.set(placement);
  remember(session, record, "placement");
}

}  // namespace

Verb place_verb() {
  auto options = std::make_shared<PlaceOptions>();
  Verb verb;
  verb.name = "place";
  verb.summary = "Pick the host that fits a VM best";
  verb.text =
      "Hosts that can't take the VM are rejected with the exact reason: memory, CPUs, CPU model (libvirt's own "
      "comparison),\n"
      "networks, GPU models, room for its disks. Those left are scored; every term of the score is in the record.";
  verb.options = {
      {"--on", "HOST[,HOST]", "consider these hosts only", "", set_list(options->only)},
  };
  verb.examples = {"umbra predict --all | umbra place -", "umbra place web1 --on beta -o table"};
  verb.run = [options](Session& session) {
    Placed placed;
    return for_each_vm(session, "place", place_table(),
                       [&](model::Record& record) { place_one(session, *options, placed, record); });
  };
  return verb;
}

}  // namespace umbra::cmd
