// SPDX-License-Identifier: Apache-2.0
#pragma once
// How every verb goes over its VMs: operands or records in, records out, errors that travel, one exit status.

#include <functional>
#include <span>
#include <string>

#include "cmd/errors.hpp"
#include "cmd/lookup.hpp"
#include "cmd/output/output.hpp"

namespace umbra::cmd {

class Session;

/// What one VM of a run needs done. It reads what it needs from the record, sets its own section, or throws.
using Act = std::function<void(model::Record&)>;

/// What is done for many VMs together, once Act has gone over each of them: with those it did not fail for. One of
/// these that fails is told, and the others go on.
using FailOne = std::function<void(model::Record&, const base::Error&)>;
using ActTogether = std::function<void(std::span<model::Record* const>, const FailOne&)>;

/// Which VMs `--all` means; hosts that do not answer are added to the errors.
using Everyone = std::function<std::vector<Located>(Session&, std::vector<base::Error>&)>;

/// Runs `act` for each VM that the operands name and prints the records. A record that already failed is passed by, as
/// is one whose forecast says that nothing is to be done; the latter only where `act_on_untriggered` is false and the
/// record came down a pipe.
int for_each_vm(Session& session, const std::string& verb, const RecordTable& table, const Act& act,
                bool act_on_untriggered = false, const ActTogether& together = {},
                const Everyone& everyone = running_vms);

}  // namespace umbra::cmd
