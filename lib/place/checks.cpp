// SPDX-License-Identifier: Apache-2.0
#include "place/checks.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace umbra::place {
namespace {

using Answer = std::optional<std::string>;

std::string human(double bytes) {
  const double gib = bytes / (1u << 30);
  if (gib >= 1 || gib <= -1) return fmt::format("{:.1f} GiB", gib);
  return fmt::format("{:.0f} MiB", bytes / (1u << 20));
}
std::string human(model::ByteCount bytes) {
  return human(static_cast<double>(bytes.value));
}

double expected_use(const Candidate& candidate) {
  return candidate.facts.cpu_used.value;
}

Answer reachable(const Need&, const Candidate& candidate, const model::PlaceConfig&) {
  if (!candidate.unreachable) return std::nullopt;
  return "it can't be asked: " + *candidate.unreachable;
}

Answer another_host(const Need& need, const Candidate& candidate, const model::PlaceConfig&) {
  if (candidate.host != need.host) return std::nullopt;
  return "the VM runs there already";
}

Answer memory(const Need& need, const Candidate& candidate, const model::PlaceConfig& config) {
  const double kept = config.headroom.value * static_cast<double>(candidate.facts.memory.value);
  const double free = static_cast<double>(candidate.facts.memory_free.value) - kept;
  if (free >= static_cast<double>(need.memory.value)) return std::nullopt;
  return fmt::format("not enough memory: {} free of {}, {} of them kept free, {} needed",
                     human(candidate.facts.memory_free), human(candidate.facts.memory), human(kept),
                     human(need.memory));
}

Answer cpu(const Need& need, const Candidate& candidate, const model::PlaceConfig& config) {
  if (free_cpus(candidate, config) >= needed_cpus(need)) return std::nullopt;
  return fmt::format(
      "not enough CPU: {:.1f} of {} CPUs would be free ({:.0f} % expected to be used, {:.0f} % kept free), {:.1f} "
      "needed",
      std::max(0.0, free_cpus(candidate, config)), candidate.facts.cpus, 100 * expected_use(candidate),
      100 * config.headroom.value, needed_cpus(need));
}

Answer cpu_model(const Need&, const Candidate& candidate, const model::PlaceConfig&) {
  if (candidate.cpu.usable) return std::nullopt;
  return "it can't run the VM's CPU: " +
         (candidate.cpu.reason.empty() ? "libvirt gives no reason" : candidate.cpu.reason);
}

Answer networks(const Need& need, const Candidate& candidate, const model::PlaceConfig&) {
  const auto& there = candidate.facts.networks;
  for (const std::string& network : need.networks) {
    const auto mapped = candidate.networks.find(network);
    const std::string& wanted = mapped == candidate.networks.end() ? network : mapped->second;
    if (std::find(there.begin(), there.end(), wanted) != there.end()) continue;
    if (wanted == network) return fmt::format("no network \"{}\"", network);
    return fmt::format("no network \"{}\", which stands for \"{}\"", wanted, network);
  }
  return std::nullopt;
}

Answer gpus(const Need& need, const Candidate& candidate, const model::PlaceConfig&) {
  std::multiset<std::string> free(candidate.facts.gpus.begin(), candidate.facts.gpus.end());
  for (const std::string& model : need.gpus) {
    const auto it = free.find(model);
    if (it != free.end()) {
      free.erase(it);
      continue;
    }
    const auto wanted = std::count(need.gpus.begin(), need.gpus.end(), model);
    if (wanted == 1) return fmt::format("no free GPU of model {}", model);
    return fmt::format("not enough free GPUs of model {}: {} needed", model, wanted);
  }
  return std::nullopt;
}

/// 0 bytes free means "not known" and is let through: the shadow's own creation finds out.
Answer disk(const Need& need, const Candidate& candidate, const model::PlaceConfig&) {
  if (candidate.facts.images_free.value == 0 || candidate.facts.images_free >= need.disk) return std::nullopt;
  return fmt::format("not enough disk space: {} free for images, {} needed", human(candidate.facts.images_free),
                     human(need.disk));
}

}  // namespace

double free_cpus(const Candidate& candidate, const model::PlaceConfig& config) {
  return candidate.facts.cpus * (config.cpu_overcommit - expected_use(candidate) - config.headroom.value);
}

double needed_cpus(const Need& need) {
  return need.vcpus * need.cpu_peak.value;
}

const std::array<NamedCheck, 8>& checks() {
  static const std::array<NamedCheck, 8> all{{
      {"reachable", reachable},
      {"another_host", another_host},
      {"memory", memory},
      {"cpu", cpu},
      {"cpu_model", cpu_model},
      {"networks", networks},
      {"gpus", gpus},
      {"disk", disk},
  }};
  return all;
}

}  // namespace umbra::place
