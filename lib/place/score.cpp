// SPDX-License-Identifier: Apache-2.0
#include "place/score.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "model/units.hpp"
#include "place/checks.hpp"

namespace umbra::place {
namespace {

constexpr std::array term_names{"cpu_headroom", "memory_headroom", "cpu_match", "network", "gpu", "migration"};
constexpr double unlike_cpu = 0.7;   // usable by libvirt's word, but another model than where the VM runs
constexpr double wasted_gpus = 0.5;  // free GPUs that the VM has no use for, and another may
constexpr double usual_migration_s = 60;

/// What would stay free of the host's CPUs once the VM is there.
double cpu_headroom(const Need& need, const Candidate& candidate, const model::PlaceConfig& config) {
  if (candidate.facts.cpus == 0) return 0;
  return (free_cpus(candidate, config) - needed_cpus(need)) / candidate.facts.cpus;
}

double memory_headroom(const Need& need, const Candidate& candidate) {
  if (candidate.facts.memory.value == 0) return 0;
  const double left = static_cast<double>(candidate.facts.memory_free.value) - static_cast<double>(need.memory.value);
  return left / static_cast<double>(candidate.facts.memory.value);
}

double cpu_match(const Candidate& candidate, const Candidate* origin) {
  const bool alike = origin == nullptr || origin->facts.cpu_model == candidate.facts.cpu_model;
  return alike ? 1.0 : unlike_cpu;
}

/// A half at 1 Gb/s, near 1 for much faster links.
double network(const Candidate& candidate) {
  return candidate.link.value / (candidate.link.value + model::usual_link.value);
}

double gpu(const Need& need, const Candidate& candidate) {
  return candidate.facts.gpus.size() > need.gpus.size() ? wasted_gpus : 1.0;
}

double migration(const Need& need, const Candidate& candidate) {
  return 1 / (1 + migration_time(need, candidate).count() / usual_migration_s);
}

double weight_of(const std::map<std::string, double>& weights, const std::string& term) {
  const auto it = weights.find(term);
  return it == weights.end() ? 1.0 : it->second;
}

}  // namespace

std::map<std::string, double> terms_of(const Need& need, const Candidate& candidate, const Candidate* origin,
                                       const model::PlaceConfig& config) {
  std::map<std::string, double> terms{
      {"cpu_headroom", cpu_headroom(need, candidate, config)},
      {"memory_headroom", memory_headroom(need, candidate)},
      {"cpu_match", cpu_match(candidate, origin)},
      {"network", network(candidate)},
      {"gpu", gpu(need, candidate)},
      {"migration", migration(need, candidate)},
  };
  for (auto& [name, value] : terms) value = std::clamp(value, 0.0, 1.0);
  return terms;
}

void check_weights(const std::map<std::string, double>& weights) {
  double sum = 0;
  for (const char* term : term_names) sum += weight_of(weights, term);
  for (const auto& [name, weight] : weights) {
    if (std::find(term_names.begin(), term_names.end(), name) == term_names.end()) {
      throw base::Error(base::Kind::usage, fmt::format("the weight \"{}\" of [place] names no term", name),
                        fmt::format("the terms are: {}", fmt::join(term_names, ", ")));
    }
    if (!(weight >= 0)) {
      throw base::Error(base::Kind::usage, fmt::format("the weight \"{}\" of [place] is negative: {}", name, weight));
    }
  }
  if (!(sum > 0)) throw base::Error(base::Kind::usage, "every weight of [place] is 0: no host is better than another");
}

double weighted_mean(const std::map<std::string, double>& terms, const std::map<std::string, double>& weights) {
  double sum = 0;
  double weight_sum = 0;
  for (const auto& [name, value] : terms) {
    sum += weight_of(weights, name) * value;
    weight_sum += weight_of(weights, name);
  }
  return sum / weight_sum;
}

}  // namespace umbra::place
