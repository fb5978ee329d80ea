// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a guard is found by a run that did not begin it: it listens at an address of its host that the VM's UUID gives.

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "model/ids.hpp"

namespace umbra::procfs {

class GuardDoor {
 public:
  /// Kind::busy where another guard of that VM is there.
  explicit GuardDoor(const model::Uuid& vm);
  /// Whether somebody of this user, or root, has asked the guard to end. To be called often.
  bool is_asked();
  /// Tells whoever asked that nothing is held any more, and whether something was.
  void answer(bool held);
  /// From now on another guard may stand here.
  void close() { m_door.reset(); }

 private:
  base::UniqueFd m_door;
  base::UniqueFd m_asking;
};

/// Ends the guard of that VM here, and returns whether it held the guest's images; false where there is no guard. One
/// that did tells so to whoever asks, until the guest goes on: a run that is killed in between is followed by another.
/// Kind::timeout where it does not answer.
bool end_guard(const model::Uuid& vm, base::Millis patience = base::Millis{10'000});

}  // namespace umbra::procfs
