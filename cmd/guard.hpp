// SPDX-License-Identifier: Apache-2.0
#pragma once
// The guard of a VM's move on the host that it leaves: `umbra receive --guard` and `--end-guard`.

#include <string>
#include <vector>

#include "cmd/session.hpp"

namespace umbra::cmd {

/// Returns once there is nothing to guard any more, or whoever started this wants it no longer: the guard itself, a
/// process of its own, goes on as long as there is something to watch or hold. The first byte of output tells that it
/// is in place.
int guard_here(Session& session, const model::Uuid& vm, const std::vector<std::string>& images);

/// Lets a guest go on that the guard here holds, and tells, as JSON, whether there was one.
void end_guard_here(Session& session, const model::Uuid& vm);

}  // namespace umbra::cmd
