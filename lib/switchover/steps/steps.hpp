// SPDX-License-Identifier: Apache-2.0
#pragma once
// The steps of the walk, one file each. What each writes into the journal is in ../JOURNAL.md.

#include "switchover/walk.hpp"

namespace umbra::switchover::steps {

Step freeze();
Step finish();
Step prepare();
Step move();
Step redirect();
Step retire();
Step reverse();

// Of the walk for a VM whose host is lost.
Step fence();
Step raise();
Step activate();
Step settle();

/// Whether the old home's files are a point of the reversed shadow already.
bool is_reversed(Walk& walk);

/// For a step whose undoing and finishing need nothing that was not known before.
Json intend_nothing(Walk& walk);

/// The redirectors of a walk, in the order in which they are called, and whether to redirect or to undo.
struct Calls {
  std::vector<ports::Redirector*> redirectors;
  bool undo = false;
  std::vector<std::string> gone;  ///< called by the walk that is taken back, and no longer configured
};
/// A walk there calls all that are configured. A walk back undoes, last first, what the walk before it may have
/// redirected; where that one had itself undone, it redirects again. `own` is its row, absent while it is but planned.
Calls calls_of(const Ports& ports, const model::Uuid& vm, bool going_back, std::optional<std::int64_t> own);

/// The points on the host that the walk leads to.
std::unique_ptr<ports::PointStore> far_end(const Walk& walk);
/// What the hosts are asked for when the guest moves.
ports::MoveRequest move_request(const Walk& walk);
/// Null where the source's host can't be watched: then a link that is cut in the last phase holds the guest for as long
/// as TCP and libvirt take to give up.
std::unique_ptr<ports::MoveGuard> guarded(const Walk& walk);
/// Of a guest that runs nowhere else: where the source's guard has kept it from going on, it goes on. Again: nothing is
/// left to do.
void let_go_on(const Walk& walk);
/// Makes the walk's epoch the VM's. Again: nothing is left to do.
void confirm_epoch(Walk& walk);
/// The tag of the VM that this walk leaves hibernated on the source.
model::RoleTag hibernated_tag(const Walk& walk);

}  // namespace umbra::switchover::steps
