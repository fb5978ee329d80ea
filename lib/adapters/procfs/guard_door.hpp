// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a guard is found by a run that did not begin it: it listens at an address of its host that the VM's UUID gives.

#include <optional>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "model/ids.hpp"

namespace umbra::procfs {

/// What is asked of a guard: to let the guest go on, or to make room for another guard, which one that holds refuses.
enum class Wish { let_go, make_room };

class GuardDoor {
 public:
  /// Kind::busy where another guard of that VM is there.
  explicit GuardDoor(const model::Uuid& vm);
  /// What somebody of this user, or root, asks for now. To be called often.
  std::optional<Wish> asked();
  /// Tells whoever asked whether the guest is, or was, held here.
  void answer(bool held);
  /// From now on another guard may stand here.
  void close() { m_door.reset(); }

 private:
  base::UniqueFd m_door;
  base::UniqueFd m_asking;
};

/// Asks the guard of that VM here. Whether it held the guest; false where there is no guard. A guard that held says so
/// to everyone who asks until the guest goes on: a run that is killed in between is followed by another. Kind::timeout
/// where it does not answer.
bool ask_guard(const model::Uuid& vm, Wish wish, base::Millis patience = base::Millis{10'000});

}  // namespace umbra::procfs
