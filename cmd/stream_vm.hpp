// SPDX-License-Identifier: Apache-2.0
#pragma once
// `umbra replicate VM --send -`: one whole point of a VM as a stream on standard output.

#include "cmd/sources.hpp"

namespace umbra::cmd {

/// Kind::usage where it is not one VM that is named, or what was given has no meaning with a stream.
int run_stream_vm(Session& session, const SourceOptions& options, const Limits& limits);

}  // namespace umbra::cmd
