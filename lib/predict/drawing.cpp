// SPDX-License-Identifier: Apache-2.0
#include "predict/drawing.hpp"

#include <algorithm>

#include "predict/walk.hpp"

namespace umbra::predict {
namespace {

constexpr double rows_per_reading = 1.2;  // more would say the same again

}  // namespace

void draw_examples(std::span<const model::Series> series, model::Resource resource, const Lot& lot,
                   const std::function<void(const model::Series&, Examples&&)>& each) {
  std::size_t readings = 0;
  std::size_t vms = 0;
  for (const model::Series& one : series) {
    const std::size_t held = count_readings({&one, 1}, resource, lot.until);
    readings += held;
    vms += held > 0 ? 1 : 0;
  }
  if (readings == 0) return;
  const auto wanted = std::min(static_cast<double>(lot.most_rows), rows_per_reading * static_cast<double>(readings));
  const double of_each = static_cast<double>(readings) / static_cast<double>(vms);
  const auto asks = static_cast<unsigned>(std::clamp(of_each / 150, 2.0, static_cast<double>(lot.most_asks)));
  Draw draw;
  draw.share = std::min(1.0, wanted / (asks * static_cast<double>(readings)));
  draw.until = lot.until;
  for (const model::Series& one : series) {
    Dice dice(lot.seed ^ number_of(one.vm.get()) ^ (static_cast<std::uint64_t>(resource) << 56));
    each(one, varied_examples_of(one, resource, asks, draw, dice));
  }
}

std::size_t count_readings(std::span<const model::Series> series, model::Resource resource, double until) {
  std::size_t readings = 0;
  for (const model::Series& one : series) {
    readings += static_cast<std::size_t>(std::ranges::count_if(
        one.samples, [&](const model::Sample& s) { return s[resource].has_value() && unix_seconds(s.at) <= until; }));
  }
  return readings;
}

double time_at(std::span<const model::Series> series, double share) {
  std::vector<double> times;
  for (const model::Series& one : series) {
    for (const model::Sample& sample : one.samples) times.push_back(unix_seconds(sample.at));
  }
  if (times.empty()) return missing;
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + rank, times.end());
  return times[static_cast<std::size_t>(rank)];
}

std::uint64_t number_of(const std::string& name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace umbra::predict
