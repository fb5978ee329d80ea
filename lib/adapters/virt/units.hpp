// SPDX-License-Identifier: Apache-2.0
#pragma once
// The units that libvirt counts in.

#include <cstdint>

namespace umbra::virt {

inline constexpr double ns_per_s = 1e9;
inline constexpr std::uint64_t kib = 1024;      // bytes
inline constexpr double mib = 1024.0 * 1024.0;  // bytes

}  // namespace umbra::virt
