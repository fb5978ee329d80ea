// SPDX-License-Identifier: Apache-2.0
#pragma once
// The unit that disks and qemu-nbd count in.

#include <cstdint>

namespace umbra::nbd {

inline constexpr std::uint64_t sector = 512;  // bytes

}  // namespace umbra::nbd
