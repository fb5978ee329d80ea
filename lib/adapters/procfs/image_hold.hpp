// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether QEMU has a disk image, and how to keep it from taking it back. Once a migration has completed, the source's
// QEMU has given up its images, and takes them again before the guest may go on there. It does so by QEMU's image
// locking: an open-file-description lock on one byte of the file for each thing that a user does (100 and up) and for
// each that it does not share (200 and up; block/file-posix.c in QEMU). Whoever holds the byte "writing is not shared"
// lets no QEMU have the image writable that has it not yet; one that has it goes on undisturbed, and so do readers.

#include <string>
#include <vector>

#include "base/fd.hpp"

namespace umbra::procfs {

/// Whether somebody has the image to write to it: as QEMU does while its guest runs, or is paused there. False also
/// where the image can't be looked at.
bool is_written_to(const std::string& image);

class ImageHold {
 public:
  /// Holds those that can be held: one is enough to keep a guest from going on. Throws where none can.
  explicit ImageHold(const std::vector<std::string>& images);

 private:
  std::vector<base::UniqueFd> m_images;  ///< a lock goes with its descriptor
};

}  // namespace umbra::procfs
