// SPDX-License-Identifier: Apache-2.0
#pragma once
// A block: the samples of one series in one slice, packed. Inside this folder and its tests only.
//
//   block   := varint count, time{count}, column{6}     in the order of model::Resource
//   time    := the first: varint of the milliseconds since the slice's start;
//              the others: zigzag varint of how much the step from the one before differs from the step before that,
//              where the step to the first counts as 0
//   column  := byte flags, bitmap?, value*, above*
//   flags   := 0: every value missing; else 1, +2: some are missing and a bitmap says which are there, +4: peaks follow
//   bitmap  := (count + 7) / 8 bytes, sample i at bit i % 8 of byte i / 8
//   value   := zigzag varint of the difference from the value before, of those that are there, in 1/100000; the first
//              from 0
//   above   := for each value, varint of how far its peak is above it; 0: it has none
//   varint  := 7 bits a byte, the lowest first, the top bit set on all but the last; zigzag: 0, -1, 1 are 0, 1, 2

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "model/metrics.hpp"

namespace umbra::store {

/// What the history keeps of a fraction: five decimals, so that a forecast sees the same before and after packing.
/// Nothing for what can be none: not a number, negative, or a hundred times the capacity and more.
std::optional<double> rounded(double fraction);

/// `samples` are oldest first, later than `start` and rounded.
std::string pack(std::span<const model::Sample> samples, base::Instant start);

/// Adds a block's samples to `samples`. Kind::corrupt for bytes that pack() did not give.
void unpack(std::string_view block, base::Instant start, std::vector<model::Sample>& samples);

}  // namespace umbra::store
