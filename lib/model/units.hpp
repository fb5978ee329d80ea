// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sizes and rates as people type and read them.

#include <optional>
#include <string>
#include <string_view>

#include "model/ids.hpp"

namespace umbra::model {

/// "2GiB", "512 MiB", "20G", "1.5TB", "4096B". B, kB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB, and K, M, G, T
/// as qemu-img has them, powers of 1024. Nothing without a unit, but for "0".
std::optional<ByteCount> parse_size(std::string_view text);
/// A size per second ("100MiB/s") or bits per second ("1Gbit/s", powers of 1000). Never zero.
std::optional<ByteRate> parse_rate(std::string_view text);
/// "1.5 GiB", "300 B": for a person.
std::string to_human(ByteCount size);
std::string to_human(ByteRate rate);

/// What 1 Gb/s carries: taken where nothing tells how fast a link is.
inline constexpr ByteRate usual_link{117e6};

}  // namespace umbra::model
