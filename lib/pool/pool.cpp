// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.hpp"

#include <algorithm>
#include <tuple>

namespace umbra::pool {
namespace {

const model::Flavour* flavour_of(std::span<const model::Flavour> flavours, const ports::PoolRow& row) {
  const auto it = std::find_if(flavours.begin(), flavours.end(),
                               [&](const model::Flavour& f) { return f.name == row.flavour && f.host == row.host; });
  return it == flavours.end() ? nullptr : &*it;
}

bool fits(const model::Flavour& flavour, const Claim& claim) {
  return flavour.host == claim.host && flavour.memory >= claim.memory && flavour.vcpus >= claim.vcpus &&
         flavour.disks == claim.disks;
}

bool by_id(const ports::PoolRow& a, const ports::PoolRow& b) {
  return a.id < b.id;
}

}  // namespace

Plan fill_plan(std::span<const model::Flavour> flavours, std::span<const ports::PoolRow> rows) {
  std::vector<ports::PoolRow> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), by_id);

  Plan plan;
  std::map<const model::Flavour*, unsigned> kept;
  for (const ports::PoolRow& row : sorted) {
    const model::Flavour* flavour = flavour_of(flavours, row);
    if (flavour == nullptr || kept[flavour] >= flavour->count) {
      plan.drop.push_back(row);
    } else {
      ++kept[flavour];
    }
  }
  for (const model::Flavour& flavour : flavours) {
    if (kept[&flavour] >= flavour.count) continue;
    plan.create.push_back(flavour);
    plan.create.back().count = flavour.count - kept[&flavour];
  }
  return plan;
}

std::optional<ports::PoolRow> choose(std::span<const model::Flavour> flavours, std::span<const ports::PoolRow> rows,
                                     const Claim& claim) {
  const ports::PoolRow* best = nullptr;
  const auto waste = [&](const ports::PoolRow& row) {
    const model::Flavour& flavour = *flavour_of(flavours, row);
    return std::tuple(flavour.memory, flavour.vcpus, row.id);
  };
  for (const ports::PoolRow& row : rows) {
    const model::Flavour* flavour = flavour_of(flavours, row);
    if (flavour == nullptr || !fits(*flavour, claim)) continue;
    if (best == nullptr || waste(row) < waste(*best)) best = &row;
  }
  if (best == nullptr) return std::nullopt;
  return *best;
}

}  // namespace umbra::pool
