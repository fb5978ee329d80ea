// SPDX-License-Identifier: Apache-2.0
#include "place/place.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.hpp"
#include "model/units.hpp"
#include "place/checks.hpp"
#include "place/score.hpp"

namespace umbra::place {
namespace {

struct Scored {
  const Candidate* candidate;
  std::map<std::string, double> terms;
  double score;
};

bool better(const Scored& a, const Scored& b) {
  return a.score != b.score ? a.score > b.score : a.candidate->host < b.candidate->host;
}

/// Whether there are other hosts than the VM's own, and all of them are silent.
bool none_answers(const Need& need, std::span<const Candidate> candidates) {
  const auto other = [&](const Candidate& c) { return c.host != need.host; };
  return std::ranges::any_of(candidates, other) &&
         std::ranges::all_of(candidates, [&](const Candidate& c) { return !other(c) || c.unreachable; });
}

base::Error nowhere(const Need& need, const std::map<model::HostName, std::string>& rejected, bool silent) {
  if (rejected.size() == 1 && rejected.contains(need.host))
    return base::Error(base::Kind::refused,
                       fmt::format("{} runs on {}, and no other host is considered: both ends would be one host",
                                   need.vm.get(), need.host.get()),
                       "name another with --on, or add [hosts.NAME] with its uri to the configuration");
  std::string reasons;
  for (const auto& [host, reason] : rejected)
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", host.get(), reason);
  if (silent)
    return base::Error(base::Kind::unreachable, fmt::format("no host can take \"{}\": {}", need.vm.get(), reasons),
                       "see what keeps them from answering: umbra doctor");
  return base::Error(
      base::Kind::not_found,
      fmt::format("no host can take \"{}\": {}", need.vm.get(), reasons.empty() ? "none was given" : reasons),
      rejected.size() < 2 ? "consider more hosts: leave out --on, or add [hosts.NAME] with its uri to the configuration"
                          : "free what is missing on one of them, or lower headroom in [place]");
}

}  // namespace

Need need_of(const model::Domain& domain, const model::HostName& host, const std::optional<model::Forecast>& forecast,
             model::ByteCount shadow_disk) {
  Need need;
  need.vm = domain.name;
  need.host = host;
  need.memory = domain.memory;
  need.vcpus = domain.vcpus;
  need.gpus = domain.gpus;
  need.disk = shadow_disk;
  for (const model::Nic& nic : domain.nics) need.networks.push_back(nic.network);
  if (forecast) {
    const auto it = forecast->resources.find(model::Resource::cpu);
    if (it != forecast->resources.end()) need.cpu_peak = {it->second.peak.p90};
  }
  return need;
}

void reserve(Candidate& candidate, const Need& placed) {
  model::HostFacts& facts = candidate.facts;
  facts.memory_free.value -= std::min(facts.memory_free.value, placed.memory.value);
  if (facts.images_free.value != 0)
    facts.images_free.value =
        std::max<std::uint64_t>(1, facts.images_free.value - std::min(facts.images_free.value, placed.disk.value));
  if (facts.cpus == 0) return;
  facts.cpu_used.value += needed_cpus(placed) / facts.cpus;
}

std::optional<std::string> objection(const Need& need, const Candidate& candidate, const model::PlaceConfig& config) {
  for (const NamedCheck& check : checks()) {
    if (auto reason = check.check(need, candidate, config)) return reason;
  }
  return std::nullopt;
}

base::Seconds migration_time(const Need& need, const Candidate& candidate) {
  return base::Seconds(static_cast<double>(need.memory.value) / candidate.link.value);
}

model::Placement place(const Need& need, std::span<const Candidate> candidates, const model::PlaceConfig& config) {
  check_weights(config.weights);
  const auto origin = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const Candidate& c) { return c.host == need.host && !c.unreachable; });

  model::Placement placement;
  std::vector<Scored> left;
  for (const Candidate& candidate : candidates) {
    if (auto reason = objection(need, candidate, config)) {
      placement.rejected[candidate.host] = *reason;
      continue;
    }
    auto terms = terms_of(need, candidate, origin == candidates.end() ? nullptr : &*origin, config);
    const double score = weighted_mean(terms, config.weights);
    left.push_back({&candidate, std::move(terms), score});
  }
  if (left.empty()) throw nowhere(need, placement.rejected, none_answers(need, candidates));

  std::sort(left.begin(), left.end(), better);
  const Scored& best = left.front();
  placement.host = best.candidate->host;
  placement.score = best.score;
  placement.terms = best.terms;
  placement.migration_s = migration_time(need, *best.candidate).count();
  for (auto it = left.begin() + 1; it != left.end(); ++it) placement.alternatives.push_back(it->candidate->host);
  return placement;
}

}  // namespace umbra::place
