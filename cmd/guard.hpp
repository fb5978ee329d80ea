// SPDX-License-Identifier: Apache-2.0
#pragma once
// The guard of a VM's move on the host that it leaves: `umbra receive --guard` and `--end-guard`.

#include "cmd/session.hpp"

namespace umbra::cmd {

/// Returns once there is nothing to guard any more. Whoever started this waits for its first byte of output.
void guard_here(Session& session, const model::Uuid& vm);

/// Tells, as JSON, whether the guard that was here had held the guest's images.
void end_guard_here(Session& session, const model::Uuid& vm);

}  // namespace umbra::cmd
