// SPDX-License-Identifier: Apache-2.0
#pragma once
// The sink of one point: checks what arrives, writes it to the incoming folder, makes it a point by one rename.

#include <memory>

#include "adapters/nbd/shadow_folder.hpp"
#include "ports/point_store.hpp"

namespace umbra::nbd {

inline constexpr std::size_t most_parts = 64;  // disks and memory of a point
inline constexpr const char* too_many_hint = "make two sets of its disks, each under a name of its own";

/// Kind::invalid where no point can have these parts: none, or too many, names that can't be files or come twice, sizes
/// that a disk can't have or that come to too much together.
void check_parts(const std::vector<model::Part>& parts);

/// The header is checked against the shadow before anything is written.
std::unique_ptr<ports::BlockSink> begin_point(const ShadowFolder& folder, const model::PointHeader& header);

}  // namespace umbra::nbd
