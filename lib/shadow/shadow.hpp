// SPDX-License-Identifier: Apache-2.0
#pragma once
// The shadow's life: made (or taken from the pool), found again, dropped. A shadow is a defined domain that is off and
// a folder of points on its host. Written against the ports alone; what a failed call made is taken back, last first.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ports/context.hpp"
#include "ports/store.hpp"

namespace umbra::shadow {

using ports::Context;

struct Registries {
  ports::ShadowRegistry& shadows;
  ports::PoolRegistry& pool;
};

struct EnsureRequest {
  model::VmName vm;
  model::HostName primary;
  model::HostName target;
  std::map<std::string, std::string> networks;  ///< the primary's host's -> the target's
  std::optional<ports::PoolRow> pooled;         ///< a ready-made shadow to take first, on the target
};

struct EnsurePlan {
  model::ShadowId id;
  model::HostName host;  ///< where the shadow is or will be: an existing one elsewhere stays
  bool exists = false;
  std::optional<model::ShadowId> from_pool;
  std::vector<model::Part> disks;
};

struct EnsureResult {
  ports::ShadowRow row;
  bool created = false;
  std::vector<std::string> notes;
};

/// The folder name of a VM's shadow: the same on every host and without the state store, so that it is found again.
model::ShadowId shadow_id(const model::VmName& vm, const model::Uuid& uuid);

/// Checks as ensure() does, changes nothing.
EnsurePlan plan(const Context& context, const Registries& registries, const EnsureRequest& request);

/// The VM's shadow on the target, created where there is none. Kind::refused where target and primary are the same
/// host, where the primary is none, or where a domain of that name there is another VM, active, or not Umbra's.
EnsureResult ensure(const Context& context, const Registries& registries, const EnsureRequest& request);

struct DropResult {
  std::vector<std::string> notes;
};

struct DropRequest {
  model::VmName vm;
  /// Also where the shadow's host gives no answer: what lies there stays; and where no shadow is on record, but the
  /// VM's tag tells of one, or of a walk: it is released. Its epoch stays.
  bool forget = false;
};

/// What drop() refuses, without a change. A host that gives no answer is no reason.
void check_drop(const Context& context, const ports::ShadowRow& row, bool forget);

/// Takes the shadow away: definition, folder, Umbra's checkpoints on the primary, the row. Kind::refused where it is
/// active; Kind::not_found where the VM has none. Again after a failure: what is left.
DropResult drop(const Context& context, const Registries& registries, const DropRequest& request);

}  // namespace umbra::shadow
