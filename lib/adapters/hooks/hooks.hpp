// SPDX-License-Identifier: Apache-2.0
#pragma once
// Executables that the configuration names: redirectors, the health probe, the fence. Each gets the record's JSON line
// on standard input and answers by its exit status; its output is the message. May start processes; knows no VM's
// disks.

#include <memory>
#include <string>

#include "ports/switching.hpp"

namespace umbra::hooks {

/// Called as `EXECUTABLE redirect` and `EXECUTABLE undo`.
std::unique_ptr<ports::Redirector> redirector(std::string executable, base::Millis deadline);

/// Called again until it succeeds or `deadline` has passed.
std::unique_ptr<ports::Probe> probe(base::Argv command, base::Millis deadline, base::Clock& clock);

/// "{host}" in the words is replaced by the host's name. Proof is that the command ends with status 0 and then, where
/// there is one, that `check` does, which is asked again until it does; both within `deadline`.
std::unique_ptr<ports::Fence> fence(base::Argv command, base::Argv check, base::Millis deadline, base::Clock& clock);

}  // namespace umbra::hooks
