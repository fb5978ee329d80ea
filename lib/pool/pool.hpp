// SPDX-License-Identifier: Apache-2.0
#pragma once
// pool: how many ready-made shadows there should be, and which one a VM gets. Pure: sizes and claims as values; making
// and dropping them is shadow's work.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/config.hpp"
#include "model/sections.hpp"
#include "ports/store.hpp"

namespace umbra::pool {

struct Plan {
  std::vector<model::Flavour> create;  ///< `count` of each is how many are missing
  std::vector<ports::PoolRow> drop;    ///< over the count, or of a flavour or host that is configured no more
  bool empty() const { return create.empty() && drop.empty(); }
};

/// What it takes to have exactly `count` of each flavour. Deterministic: the last ids are dropped first.
Plan fill_plan(std::span<const model::Flavour> flavours, std::span<const ports::PoolRow> rows);

/// What a VM's shadow must be.
struct Claim {
  model::VmName vm;
  model::HostName host;
  model::ByteCount memory;
  unsigned vcpus = 1;
  std::vector<model::ByteCount> disks;
};

/// The pooled shadow that fits: on that host, memory and vCPUs not below, as many disks of exactly those sizes (an
/// empty layer's size is fixed). Of several the one that wastes least memory, then vCPUs, then the first by id.
std::optional<ports::PoolRow> choose(std::span<const model::Flavour> flavours, std::span<const ports::PoolRow> rows,
                                     const Claim& claim);

}  // namespace umbra::pool
