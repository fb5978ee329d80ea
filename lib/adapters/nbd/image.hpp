// SPDX-License-Identifier: Apache-2.0
#pragma once
// An image file or block device of this machine, read as a disk while no guest has it. What it is taken for is never
// guessed from what a guest may have written into it. Touches the file, and one qemu-nbd child.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ports/block_source.hpp"

namespace umbra::nbd {

/// How a file looked when it was opened. Whoever writes to it, however it comes back to its size, is seen by the change
/// time.
struct ImageStamp {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  ///< since 1970
  std::int64_t changed_ns = 0;
  bool operator==(const ImageStamp&) const = default;
};

struct Image {
  std::unique_ptr<ports::BlockSource> source;
  std::string path;
  std::string format;
  /// Of every file of its chain. None of a block device, whose times tell nothing.
  std::vector<ImageStamp> stamps;
  bool device_in_use = false;  ///< a block device that something has mounted or built upon: it may be written to
};

/// `format` as qemu-img knows it; empty: qcow2 where both the name and the first bytes say so, raw where neither names
/// a format. Kind::invalid where they disagree: a guest can write such bytes into a raw disk. Kind::busy where a QEMU
/// has it open for writing, Kind::not_found where there is none.
Image open_image(const std::string& path, const std::string& format);

/// Kind::busy where one of the files was written to, or replaced, since it looked so.
void require_unchanged(const std::vector<ImageStamp>& stamps);

/// Whether the file lies where `images` keeps shadows' points.
bool among_points(const std::filesystem::path& file, const std::filesystem::path& images);

}  // namespace umbra::nbd
