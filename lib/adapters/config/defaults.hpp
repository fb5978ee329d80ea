// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only.

#include "model/config.hpp"

namespace umbra::config {

/// Fills in what follows from other values (a host's peer_uri), and records the main defaults as origins.
void add_defaults(model::Config& config);

}  // namespace umbra::config
