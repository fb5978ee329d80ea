// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sink of one point: checks what arrives, writes it to the incoming folder, makes it a point by one rename.

#include <memory>

#include "adapters/nbd/shadow_folder.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {

/// The header is checked against the shadow before anything is written.
std::unique_ptr<ports::BlockSink> begin_point(const ShadowFolder& folder, const model::PointHeader& header);

}  // namespace umbra::nbd
