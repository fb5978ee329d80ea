// SPDX-License-Identifier: Apache-2.0
#include "switchover/estimate.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "model/precopy.hpp"
#include "model/units.hpp"
#include "switchover/preconditions.hpp"

namespace umbra::switchover {
namespace {

/// Connecting the disks of both sides before memory moves: part of the brownout.
constexpr base::Seconds mirror_setup{0.5};
/// Earlier walks that are heard.
constexpr std::size_t heard = 4;
/// QEMU slows a guest down as long as it changes more than this part of what gets through.
constexpr double bearable_dirt = 0.5;
constexpr double slowed_at_most = 0.7;
constexpr double slowed_at_least = 0.1;
constexpr double slowed_by_step = 0.1;

/// The delta that `finish` will send, as far as that is known.
model::ByteCount delta_of(const Survey& seen, std::vector<std::string>& notes) {
  if (seen.shadow.replica && seen.shadow.replica->method == "bitmap" && !seen.newest.has_memory()) {
    notes.push_back("the delta is taken to be as large as that of the last pass");
    return seen.shadow.replica->dirty;
  }
  notes.push_back(seen.shadow.replica
                      ? "the last pass was no incremental one of disks alone: the delta is not in the estimate"
                      : "no pass of this shadow is on record: the delta is not in the estimate");
  return {};
}

/// What the guest changes while it moves, and what is done about it where that is too much.
model::PrecopyInput input_of(const Request& request, const Survey& seen, double dirty,
                             std::vector<std::string>& notes) {
  model::PrecopyInput input;
  input.memory = seen.source.memory;
  input.bandwidth = request.rate;
  input.dirty_rate = {dirty};
  input.downtime_limit = base::Seconds(request.policy.downtime_limit);
  if (model::precopy(input).converges) return input;
  const std::string busy = fmt::format("the guest changes memory at {}, about {} get through",
                                       model::to_human(model::ByteRate{dirty}), model::to_human(request.rate));
  if (request.policy.auto_converge) {
    input.dirty_rate = {std::min(dirty, bearable_dirt * request.rate.value)};
    notes.push_back(busy + ": it will be slowed down");
  } else if (request.policy.postcopy) {
    input.max_rounds = 1;
    notes.push_back(busy + ": it will be moved before its memory is");
  } else {
    notes.push_back(busy + ": it may not converge");
  }
  return input;
}

Cost modelled_cost(const model::PrecopyInput& input, const Request& request, model::ByteCount delta) {
  const model::PrecopyResult copy = model::precopy(input);
  const auto ms = [](base::Seconds s) { return s.count() * 1000; };
  Cost cost{ms(copy.blackout), ms(copy.total - copy.blackout + mirror_setup), copy.bytes + delta};
  if (!copy.converges && request.policy.postcopy) {  // what is left goes over while the guest runs there
    cost.brownout_ms += ms(copy.blackout - input.handover);
    cost.blackout_ms = ms(input.handover);
  }
  return cost;
}

std::vector<Facts> earlier_walks(const Ports& ports, const model::Uuid& vm) {
  std::vector<Facts> earlier;
  for (const ports::Walk& walk : ports.journal.walks(vm)) {
    Facts facts;
    for (const ports::JournalEntry& entry : ports.journal.entries(walk.id)) facts.learn(entry);
    if (facts.estimate && facts.blackout_ms) earlier.push_back(std::move(facts));
    if (earlier.size() == heard) break;
  }
  return earlier;
}

/// The lower median, the model's own 1 among them.
double correction(std::vector<double> ratios) {
  ratios.push_back(1);
  const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>((ratios.size() - 1) / 2);
  std::nth_element(ratios.begin(), middle, ratios.end());
  return *middle;
}

}  // namespace

Cost corrected(const Cost& modelled, std::span<const Facts> earlier) {
  std::vector<double> blackouts;
  std::vector<double> brownouts;
  std::vector<double> bytes;
  const auto add = [](std::vector<double>& to, std::optional<double> measured, double expected) {
    if (measured && *measured > 0 && expected > 0) to.push_back(*measured / expected);
  };
  for (const Facts& facts : earlier) {
    const Cost& expected = facts.estimate->modelled;
    add(blackouts, facts.blackout_ms, expected.blackout_ms);
    add(brownouts, facts.brownout_ms, expected.brownout_ms);
    if (facts.moved_bytes)
      add(bytes, static_cast<double>((facts.sent + *facts.moved_bytes).value),
          static_cast<double>(expected.bytes.value));
  }
  return {modelled.blackout_ms * correction(blackouts),
          modelled.brownout_ms * correction(brownouts),
          {static_cast<std::uint64_t>(std::round(static_cast<double>(modelled.bytes.value) * correction(bytes)))}};
}

Estimate estimate(const Ports& ports, const Request& request, const Survey& seen) {
  Estimate result;
  const auto dirty = ports.hypervisors.at(request.from.host).dirty_rate(request.vm);
  if (!dirty) result.notes.push_back("how fast the guest changes memory could not be measured: it is taken to be idle");
  result.dirty = dirty.value_or(model::ByteRate{});
  result.rate = request.rate;
  if (!request.policy.bandwidth && request.rate == model::usual_link)
    result.notes.push_back("neither `bandwidth` nor a slower `link` is configured: 1 Gbit/s is assumed");
  result.delta = delta_of(seen, result.notes);
  const model::PrecopyInput input = input_of(request, seen, result.dirty.value, result.notes);
  result.modelled = modelled_cost(input, request, result.delta);
  const auto earlier = earlier_walks(ports, seen.source.uuid);
  result.cost = corrected(result.modelled, earlier);
  if (!earlier.empty())
    result.notes.push_back(fmt::format("corrected by {} earlier walk(s) of the VM", earlier.size()));
  return result;
}

void check_limits(const Request& request, const Estimate& estimate) {
  const model::VmPolicy& policy = request.policy;
  const Cost& cost = estimate.cost;
  std::vector<std::string> broken;
  std::vector<std::string> keys;
  const auto breaks = [&](const char* key, std::string what) {
    broken.push_back(std::move(what));
    keys.push_back(fmt::format("`{}`", key));
  };
  if (policy.blackout_limit && cost.blackout_ms > static_cast<double>(policy.blackout_limit->count()))
    breaks("blackout_limit", fmt::format("a blackout of about {:.0f} ms ({} ms are allowed)", cost.blackout_ms,
                                         policy.blackout_limit->count()));
  if (policy.brownout_limit && cost.brownout_ms > policy.brownout_limit->count() * 1000)
    breaks("brownout_limit", fmt::format("a brownout of about {:.1f} s ({} are allowed)", cost.brownout_ms / 1000,
                                         base::to_human(*policy.brownout_limit)));
  if (policy.bytes_limit && cost.bytes > *policy.bytes_limit)
    breaks("bytes_limit", fmt::format("about {} to send ({} are allowed)", model::to_human(cost.bytes),
                                      model::to_human(*policy.bytes_limit)));
  if (broken.empty()) return;
  throw base::Error(
      base::Kind::refused,
      fmt::format("a switchover of {} would take {}: it changes memory at {}, {} get through", request.vm.get(),
                  fmt::join(broken, ", and "), model::to_human(estimate.dirty), model::to_human(estimate.rate)),
      fmt::format("move it when it is less busy, or raise {} of the VM", fmt::join(keys, ", ")));
}

std::optional<ports::Throttle> throttle_of(const model::VmPolicy& policy, const std::optional<Estimate>& estimate) {
  if (!policy.auto_converge) return std::nullopt;
  double initial = slowed_at_least;
  if (estimate && estimate->dirty.value > bearable_dirt * estimate->rate.value)
    initial = 1 - bearable_dirt * estimate->rate.value / estimate->dirty.value;
  return ports::Throttle{{std::clamp(initial, slowed_at_least, slowed_at_most)}, {slowed_by_step}};
}

}  // namespace umbra::switchover
