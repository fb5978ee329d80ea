// SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps QEMU from taking disk images back. Once a migration has completed, the source's QEMU has given up its images,
// and takes them again before the guest may go on there. It does so by QEMU's image locking: an open-file-description
// lock on one byte of the file for each thing that a user does (100 and up) and for each that it does not share (200
// and up; block/file-posix.c in QEMU). Whoever holds the byte "writing is not shared" lets no QEMU have the image
// writable that has it not yet; one that has it goes on undisturbed, and readers do.

#include <string>
#include <vector>

#include "base/fd.hpp"

namespace umbra::procfs {

class ImageHold {
 public:
  /// Throws where a file can't be opened or locked; then none is held.
  explicit ImageHold(const std::vector<std::string>& images);

 private:
  std::vector<base::UniqueFd> m_images;  ///< a lock goes with its descriptor
};

}  // namespace umbra::procfs
