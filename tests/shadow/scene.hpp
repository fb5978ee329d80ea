// SPDX-License-Identifier: Apache-2.0
#pragma once
// A VM on alpha, nothing on beta yet.

#include <algorithm>

#include "fakes/memory_lab.hpp"
#include "fakes/thrown.hpp"
#include "shadow/rehearse.hpp"
#include "shadow/shadow.hpp"

namespace umbra::shadow {

inline constexpr std::uint64_t block = model::block_size;

struct Scene {
  Scene() {
    lab.add_vm("alpha", "web1", {32 * block, 8 * block}).tag.epoch = {3};
    request.vm = vm;
    request.primary = model::HostName("alpha");
    request.target = model::HostName("beta");
  }
  EnsureResult make() { return ensure(lab.context(), registries, request); }
  model::Domain& primary() { return lab.host("alpha").domains.at(vm); }
  model::Domain& stand_in() { return lab.host("beta").domains.at(vm); }
  bool has_stand_in() { return lab.host("beta").domains.contains(vm); }
  auto& folders() { return lab.host("beta").storage.shadows; }

  fakes::MemoryLab lab;
  fakes::MemoryShadows rows;
  fakes::MemoryPool pool;
  Registries registries{rows, pool};
  model::VmName vm{"web1"};
  EnsureRequest request;
};

using test::kind_of;

}  // namespace umbra::shadow
