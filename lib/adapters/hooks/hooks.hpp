// SPDX-License-Identifier: Apache-2.0
#pragma once
// The fence command that the configuration names. It answers by its exit status; its output is the message. May start
// processes; knows no VM's disks.

#include <memory>
#include <string>

#include "ports/switching.hpp"

namespace umbra::hooks {

/// "{host}" in the words is replaced by the host's name. Proof is that the command ends with status 0 and then, where
/// there is one, that `check` does, which is asked again until it does; both within `deadline`.
std::unique_ptr<ports::Fence> fence(base::Argv command, base::Argv check, base::Millis deadline, base::Clock& clock);

}  // namespace umbra::hooks
