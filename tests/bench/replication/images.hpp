// SPDX-License-Identifier: Apache-2.0
#pragma once
// The images that are copied: sparse, half of what they hold like text, half random, scattered; and what dirties them.

#include <cstdint>
#include <string>

namespace umbra::bench {

struct ImageShape {
  std::uint64_t size = 0;
  std::uint64_t data = 0;
};

/// A raw image. The same shape gives the same bytes.
void make_raw(const std::string& path, const ImageShape& shape);
/// Writes new contents over `fraction` of the image's size, in pieces of 64 to 256 KiB, scattered; through qemu-nbd,
/// so that a qcow2's bitmaps tell it. The same seed and shape hit the same places with the same bytes.
void dirty(const std::string& path, const std::string& format, double fraction, std::uint64_t seed);

}  // namespace umbra::bench
