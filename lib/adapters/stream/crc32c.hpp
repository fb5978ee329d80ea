// SPDX-License-Identifier: Apache-2.0
#pragma once
// CRC-32C (Castagnoli), RFC 3720 appendix B.4: finds bits that flipped on the way. Not a defence against an attacker.

#include <cstddef>
#include <cstdint>
#include <span>

namespace umbra::stream {

/// The checksum of `data`, going on from `before`, the checksum of what precedes them (0 for nothing).
std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t before = 0);
/// The same without the processor's own instruction.
std::uint32_t crc32c_by_tables(std::span<const std::byte> data, std::uint32_t before = 0);

}  // namespace umbra::stream
