// SPDX-License-Identifier: Apache-2.0
#include "adapters/procfs/image_hold.hpp"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>

#include "base/error.hpp"

namespace umbra::procfs {
namespace {

// QEMU's bit numbers of what is done with an image, from the first byte of "not shared" on.
constexpr off_t not_shared = 200;
constexpr off_t writing = 1;
constexpr off_t resizing = 3;

base::UniqueFd held(const std::string& image) {
  base::UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw base::from_errno(errno, fmt::format("open {}", image));
  for (const off_t what : {writing, resizing}) {
    struct flock byte {};
    byte.l_type = F_RDLCK;
    byte.l_whence = SEEK_SET;
    byte.l_start = not_shared + what;
    byte.l_len = 1;
    if (::fcntl(fd.get(), F_OFD_SETLK, &byte) != 0) throw base::from_errno(errno, fmt::format("lock {}", image));
  }
  return fd;
}

}  // namespace

ImageHold::ImageHold(const std::vector<std::string>& images) {
  for (const std::string& image : images) m_images.push_back(held(image));
}

}  // namespace umbra::procfs
