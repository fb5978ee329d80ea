// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: SHA-256 of many messages side by side, one in each lane of the processor's widest registers.
// Where a processor has them, 16 messages take as long as 7 one after the other.

#include <cstddef>
#include <span>

#include "base/digest.hpp"

namespace umbra::base {

inline constexpr std::size_t most_lanes = 16;
inline constexpr std::size_t lanes_worth_while = 8;  ///< fewer messages are faster one after the other
inline constexpr std::size_t lane_step = 64;         ///< messages are whole blocks of SHA-256

/// Whether this processor can.
bool has_lanes() noexcept;

/// The digests of 1 to most_lanes messages of one length, a multiple of lane_step. Only where has_lanes().
void sha256_in_lanes(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests) noexcept;

}  // namespace umbra::base
