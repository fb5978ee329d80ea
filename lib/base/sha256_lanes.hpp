// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inside this folder only: SHA-256 of many messages side by side, by libipsec-mb where it is there (Debian has it for
// amd64). With AVX-512, 16 messages take as long as 7 one after the other by OpenSSL and the SHA extensions.

#include <cstddef>
#include <span>

#include "base/digest.hpp"

namespace umbra::base {

inline constexpr std::size_t most_lanes = 16;
inline constexpr std::size_t lanes_worth_while = 8;        ///< fewer messages are faster one after the other
inline constexpr std::size_t longest_in_lanes = 64 << 10;  ///< bytes of a message

/// Whether messages are faster side by side here. False, too, where the library is not there, or digests a message
/// other than OpenSSL does.
bool has_lanes() noexcept;

/// The digests of 1 to most_lanes messages of one length, up to longest_in_lanes. Only where has_lanes().
void sha256_in_lanes(std::span<const std::span<const std::byte>> messages, std::span<Digest> digests);

}  // namespace umbra::base
